"""A1111's `modules.extras`."""

from modules.compat.panels import run_pnginfo

__all__ = ["run_pnginfo"]
