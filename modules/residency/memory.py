"""How much memory there is, and the way of weights between main memory and the device that computes."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Change = Callable[[Tensor], Tensor]
"""Gives the stand-in of one tensor; may return the tensor itself."""

CHUNK_BYTES = 64 << 20
"""Pinned memory is taken in pieces of this size, since torch rounds each up to a power of two."""
ALIGNMENT = 256
"""Tensors in one buffer start at multiples of this many bytes, as kernels like it."""
PAGEABLE_BYTES = 2 << 30
"""Of main memory, what is never pinned: the system cannot move it for other programs."""
CGROUP = Path("/sys/fs/cgroup")


class Memory(Protocol):
    """What a machine has to offer; injected, so that a test can bring a small one."""

    def free_ram(self) -> int:
        """Return the bytes of main memory that can be used now."""
        ...

    def free_device(self) -> int:
        """Return the bytes of the device's memory that can be used now."""
        ...

    def to_ram(self) -> Change:
        """Return the way into main memory, for the weights of one model."""
        ...

    def to_device(self) -> Change:
        """Return the way to the device."""
        ...


class Machine:
    """This machine, seen from one device.

    Args:
        device: where models compute.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free_ram(self) -> int:
        """Return the bytes of main memory that can be used now, also by the limits of a container."""
        import psutil

        room = container_room(CGROUP)
        free = psutil.virtual_memory().available
        return free if room is None else min(free, room)

    def free_device(self) -> int:
        """Return the bytes of the device's memory that can be used now, with what torch holds ready."""
        if self._device.type == "cuda":
            ready = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            return torch.cuda.mem_get_info(self._device)[0] + ready
        return self.free_ram()  # a CPU's, or shared with an Apple GPU

    def to_ram(self) -> Change:
        """Return the way into main memory: pinned, from where a CUDA device fetches by itself, as far as there is any."""
        return Packed(self._pinned).take if self._device.type == "cuda" else lambda tensor: tensor.to("cpu")

    def to_device(self) -> Change:
        """Return the way to the device; from pinned memory nobody waits for it to end."""
        return lambda tensor: tensor.to(self._device, non_blocking=True)

    def _pinned(self, num_bytes: int) -> Tensor:
        if self.free_ram() - num_bytes < PAGEABLE_BYTES:
            raise RuntimeError("main memory is nearly full")
        return pinned(num_bytes)


class Packed:
    """Lays tensors one after another into large buffers of main memory.

    Args:
        allocate: number of bytes -> uint8 buffer; a RuntimeError ends the packing, and what follows lies by itself.
    """

    def __init__(self, allocate: Callable[[int], Tensor]) -> None:
        self._allocate = allocate
        self._buffer: Tensor | None = None
        self._used = 0
        self._ended = False

    def take(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor in main memory, in the same order of elements."""
        if self._ended:
            return tensor.to("cpu")
        needed = packed_bytes([tensor])
        try:
            buffer, start = self._room(needed)
        except RuntimeError as error:
            logger.warning("no more pinned memory, so weights move slower: %s", str(error).splitlines()[0])
            self._ended = True
            return tensor.to("cpu")
        return carve(buffer, start, tensor).copy_(tensor)

    def _room(self, needed: int) -> tuple[Tensor, int]:
        if needed > CHUNK_BYTES // 2:
            return self._allocate(needed), 0
        if self._buffer is None or self._used + needed > CHUNK_BYTES:
            self._buffer, self._used = self._allocate(CHUNK_BYTES), 0
        start, self._used = self._used, self._used + needed
        return self._buffer, start


def pinned(num_bytes: int) -> Tensor:
    """Return page-locked memory.

    Raises:
        RuntimeError: the system gives no more.
    """
    return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)


def packed_bytes(tensors: Sequence[Tensor]) -> int:
    """Return the size of a buffer for some tensors one after another."""
    return sum(-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for tensor in tensors)


def carve(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    """Return a tensor that lies in a buffer.

    Args:
        buffer: uint8.
        start: byte where it begins, a multiple of `ALIGNMENT`.
        like: has its shape, order of elements and number format.
    """
    strides = torch.empty_like(like, device="meta").stride()  # those of `like`, without gaps
    return buffer[start : start + like.nbytes].view(like.dtype).as_strided(like.shape, strides)


def carve_all(buffer: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors that lie one after another in a buffer of `packed_bytes`, each like its model."""
    views, start = list[Tensor](), 0
    for tensor in tensors:
        views.append(carve(buffer, start, tensor))
        start += packed_bytes([tensor])
    return views


def container_room(root: Path) -> int | None:
    """Return the bytes that the limits of a Linux container leave; None where there are none.

    Args:
        root: where control groups are mounted.

    Source: the kernel's documentation of cgroup v2 (`memory.max`, `memory.current`, `memory.stat`) and v1.
    """
    for limit, usage, stat, idle in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            most, used = int((root / limit).read_text()), int((root / usage).read_text())
            lines = (root / stat).read_text().splitlines()
        except (OSError, ValueError):  # no such file, or "max"
            continue
        cached = next((int(line.split()[1]) for line in lines if line.startswith(f"{idle} ")), 0)
        return max(0, most - used + cached)
    return None
