"""A1111's `modules.errors`."""

from modules.compat.reports import display, display_once, print_error_explanation, report

__all__ = ["display", "display_once", "print_error_explanation", "report"]
