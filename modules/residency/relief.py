"""What to do when memory runs out: a declared ladder instead of a `try` in every pipeline."""

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from modules.domain.errors import OutOfMemory

logger = logging.getLogger(__name__)
T = TypeVar("T")

Rung = tuple[str, Callable[[], T]]
"""(what is tried, as a phrase for the log; the attempt)"""


def free_caches() -> None:
    """Give memory back that nobody refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def climb(task: str, rungs: Sequence[Rung[T]], note: Callable[[str], None]) -> T:
    """Try each rung in order until one does not run out of memory.

    Args:
        task: what is being done, for messages ("decoding").
        rungs: attempts, cheapest in quality and speed first.
        note: told which rung served, unless it was the first.

    Raises:
        OutOfMemory: every rung ran out of memory.
    """
    for number, (name, attempt) in enumerate(rungs):
        try:
            result = attempt()
        except (torch.OutOfMemoryError, MemoryError) as error:
            logger.warning(
                "out of memory while %s (%s): %s", task, name, str(error).splitlines()[0] if str(error) else ""
            )
            # the traceback keeps the failed tensors alive, which would starve the next attempt
            error.__traceback__ = None
            continue
        finally:
            if number:
                free_caches()
        if number:
            note(f"Not enough memory for {task} at once: {name} instead")
        return result
    raise OutOfMemory(f"Out of memory while {task}. Try a smaller size or batch, or start with --medvram.")
