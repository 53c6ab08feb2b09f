"""Errors that extensions tell of."""

import logging
import traceback

from modules.compat.host import host

logger = logging.getLogger(__name__)


def report(message: str, *, exc_info: bool = False) -> None:
    """Tell the log of something, perhaps with the error that is being handled."""
    logger.error("%s", message, exc_info=exc_info)


def display(e: BaseException, task: str, *, full_traceback: bool = False) -> None:
    """Tell the log of an error."""
    logger.error("%s: %s: %s", task or "error", type(e).__name__, e, exc_info=e if full_traceback else None)


def display_once(e: BaseException, task: str) -> None:
    """Tell the log of an error, once for each task."""
    if task not in host().told:
        host().told.add(task)
        display(e, task)


def print_error_explanation(message: str) -> None:
    """Tell the log."""
    logger.error("%s\n%s", message, "".join(traceback.format_stack(limit=3)))
