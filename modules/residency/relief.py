"""What to do when memory runs out: a declared ladder instead of a `try` in every pipeline."""

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from modules.domain.errors import OutOfMemory
from modules.sampling.types import Conditioning, Network

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
        if number:
            free_caches()
        try:
            result = attempt()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("out of memory while %s (%s): %s", task, name, (str(error).splitlines() or [""])[0])
            continue
        if number:
            note(f"Not enough memory for {task} at once: {name} instead")
        return result
    free_caches()
    raise OutOfMemory(f"Out of memory while {task}. Try a smaller size or batch, or start with --medvram.")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory was lacking; torch says so in several ways, on a CPU only in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory")
    )


def sparing(network: Network, note: Callable[[str], None]) -> Network:
    """Let a network that runs out of memory see the rows of a batch one after another, from then on.

    Args:
        network: any.
        note: told once when that happens.
    """
    apart = False

    def one_by_one(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        rows = [slice(row, row + 1) for row in range(x.shape[0])]
        return torch.cat([network(x[row], t[row], _part(conditioning, row)) for row in rows])

    def told(text: str) -> None:
        nonlocal apart
        apart = True
        note(text)

    def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        whole = ("the whole batch", lambda: network(x, t, conditioning))
        split = ("one picture after another", lambda: one_by_one(x, t, conditioning))
        return climb("sampling", [split] if apart else [whole, split], told)

    return run


def _part(conditioning: Conditioning, rows: slice) -> Conditioning:
    return Conditioning(
        tokens=conditioning.tokens[rows],
        pooled=None if conditioning.pooled is None else conditioning.pooled[rows],
        extras={name: value[rows] for name, value in conditioning.extras.items()},
    )
