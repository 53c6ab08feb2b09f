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
    free_device_cache()


def free_device_cache() -> None:
    """Give memory of the device back that torch holds ready for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def no_room() -> bool:
    """Say that nothing else can leave memory."""
    return False


def climb(
    task: str, rungs: Sequence[Rung[T]], note: Callable[[str], None], make_room: Callable[[], bool] = no_room
) -> T:
    """Try each rung in order until one does not run out of memory.

    Args:
        task: what is being done, for messages ("decoding").
        rungs: attempts, cheapest in quality and speed first.
        note: told which rung served, unless it was the first.
        make_room: lets models leave memory that nobody uses now, and tells whether there were any; after each time the
            same rung is tried again.

    Raises:
        OutOfMemory: every rung ran out of memory.
    """
    number = 0
    while number < len(rungs):
        name, attempt = rungs[number]
        try:
            result = attempt()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("out of memory while %s (%s): %s", task, name, (str(error).splitlines() or [""])[0])
        else:
            if number:
                note(f"Not enough memory for {task} at once: {name} instead")
            return result
        if not make_room():  # outside of the handler: the exception holds what the attempt had made
            number += 1
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


def sparing(
    network: Network,
    note: Callable[[str], None],
    *,
    make_room: Callable[[], bool] = no_room,
    shrink: Callable[[], None] | None = None,
) -> Network:
    """Let a network that runs out of memory see the rows of a batch one after another, from then on.

    Args:
        network: any.
        note: told once when that happens.
        make_room: as for `climb`.
        shrink: takes most of the network's weights off the device, if that can be done; the last resort.
    """
    apart = small = False

    def one_by_one(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        rows = [slice(row, row + 1) for row in range(x.shape[0])]
        return torch.cat([network(x[row], t[row], _part(conditioning, row)) for row in rows])

    def shrunk(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        nonlocal small
        if shrink is not None and not small:
            shrink()
            small = True
        return one_by_one(x, t, conditioning)

    def told(text: str) -> None:
        nonlocal apart
        if not apart or small:
            note(text)
        apart = True

    def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        whole = ("the whole batch", lambda: network(x, t, conditioning))
        split = ("one picture after another", lambda: one_by_one(x, t, conditioning))
        least = ("with the weights brought block by block", lambda: shrunk(x, t, conditioning))
        rungs = [split] if apart else [whole, split]
        return climb("sampling", [*rungs, least] if shrink and not small else rungs, told, make_room)

    return run


def _part(conditioning: Conditioning, rows: slice) -> Conditioning:
    return Conditioning(
        tokens=conditioning.tokens[rows],
        pooled=None if conditioning.pooled is None else conditioning.pooled[rows],
        extras={name: value[rows] for name, value in conditioning.extras.items()},
    )
