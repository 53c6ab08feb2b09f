"""A network larger than the device: its blocks come one after another, the next while the present one computes.

Two buffers on the device take turns. A copy into one of them waits until the block that used it before has computed,
a block waits until its own copy is there, and both wait on the device, never in this program.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import Protocol

import torch
from torch import Tensor, nn

from modules.residency.memory import carve_all, packed_bytes
from modules.residency.placing import Restore, replace_weights
from modules.residency.sizes import weight_bytes, weights

LARGE_BYTES = 192 << 20
"""Blocks beyond this come layer by layer: two of the largest in Stable Diffusion XL would be 1.5 GB."""


class Copier(Protocol):
    """Brings the weights of blocks to places on the device."""

    @property
    def num_places(self) -> int:
        """How many blocks may be on the device at once: two where copying and computing overlap, otherwise one."""
        ...

    def copy(self, place: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Begin to copy weights to a place, once what was queued before the latest `release` of it has computed."""
        ...

    def wait(self, place: int) -> None:
        """Let what is computed from now on wait for the copy to a place."""
        ...

    def release(self, place: int) -> None:
        """Say that nothing queued from now on uses what lies at a place."""
        ...

    def close(self) -> None:
        """Let what is computed from now on wait for every copy, and give the places up."""
        ...


class PlainCopier:
    """Copies when asked and waits for the end: one block at a time.

    Args:
        device: where blocks compute.
    """

    num_places = 1

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def copy(self, place: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Copy."""
        return [tensor.to(self._device) for tensor in tensors]

    def wait(self, place: int) -> None:
        """Do nothing: it is there."""

    def release(self, place: int) -> None:
        """Do nothing: the copies go when nobody refers to them."""

    def close(self) -> None:
        """Do nothing."""


class CudaCopier:
    """Copies on a stream of its own, from pinned memory without any wait, into two buffers that are kept.

    Args:
        device: a CUDA device.
        most_bytes: `packed_bytes` of the largest block.
    """

    num_places = 2

    def __init__(self, device: torch.device, most_bytes: int) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._buffers = [torch.empty(most_bytes, dtype=torch.uint8, device=device) for _ in range(self.num_places)]
        self._copied = [torch.cuda.Event() for _ in range(self.num_places)]
        self._released = [torch.cuda.Event() for _ in range(self.num_places)]
        self._stream.wait_stream(self._computing)  # which may still use the memory the buffers were made of

    def copy(self, place: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Queue the copies."""
        views = carve_all(self._buffers[place], tensors)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._released[place])  # passes at once when it never happened
            for view, tensor in zip(views, tensors, strict=True):
                view.copy_(tensor, non_blocking=True)
            self._copied[place].record(self._stream)
        return views

    def wait(self, place: int) -> None:
        """Let the computing stream wait for the copies."""
        self._computing.wait_event(self._copied[place])

    def release(self, place: int) -> None:
        """Mark the place in the computing stream."""
        self._released[place].record(self._computing)

    def close(self) -> None:
        """Join the streams, so that the buffers' memory can be used for other things."""
        self._computing.wait_stream(self._stream)
        self._buffers.clear()

    @property
    def _computing(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._device)


def copier_for(device: torch.device, blocks: Sequence[nn.Module]) -> Copier:
    """Return what suits a device and the largest of some blocks."""
    if device.type == "cuda":
        return CudaCopier(device, max((packed_bytes(list(weights(block))) for block in blocks), default=0))
    return PlainCopier(device)


@contextmanager
def streamed(
    part: nn.Module,
    device: torch.device,
    copier: Copier | None = None,
    *,
    resident_bytes: int = 0,
    large_bytes: int = LARGE_BYTES,
) -> Iterator[None]:
    """Bring each block of a network to a device only for the time it computes.

    Args:
        part: a network whose weights lie in main memory.
        device: where it computes.
        copier: brings the blocks there; None takes what suits the device.
        resident_bytes: as many of the first blocks as fit in this stay on the device all the time.
        large_bytes: a block larger than this is brought layer by layer.
    """
    blocks = outer_blocks(part, large_bytes)
    inside = {id(module) for block in blocks for module in block.modules()}
    around = [module for module in part.modules() if id(module) not in inside]
    staying = leading(blocks, resident_bytes)
    blocks = blocks[len(staying) :]
    with ExitStack() as until_end:
        copier = copier or copier_for(device, blocks)
        until_end.callback(copier.close)
        stream = _Stream(blocks, copier)
        until_end.callback(stream.clear)
        kept = [*around, *(module for block in staying for module in block.modules())]
        until_end.callback(replace_weights(kept, lambda tensor: tensor.to(device, non_blocking=True)))
        for block in blocks:
            until_end.callback(block.register_forward_pre_hook(stream.arrive).remove)
            until_end.callback(block.register_forward_hook(stream.leave).remove)
        yield


def outer_blocks(part: nn.Module, large_bytes: int = LARGE_BYTES) -> list[nn.Module]:
    """Return the children of a network that have weights; for lists their entries, for large ones their children.

    Networks call their layers, so a layer's weights are needed only while it runs, however deep it lies.
    """
    found = list[nn.Module]()
    for child in part.children():
        inner = any(True for _ in child.children())
        alone = any(True for _ in weights(child, recurse=False))
        if isinstance(child, nn.ModuleList) or (inner and not alone and weight_bytes(child) > large_bytes):
            found += outer_blocks(child, large_bytes)
        elif any(True for _ in weights(child)):
            found.append(child)
    return found


def leading(blocks: Sequence[nn.Module], num_bytes: int) -> Sequence[nn.Module]:
    """Return as many of the first blocks as take no more than some bytes together."""
    totals = accumulate(weight_bytes(block) for block in blocks)
    return blocks[: sum(1 for _ in takewhile(lambda total: total <= num_bytes, totals))]


@dataclass(slots=True, kw_only=True, eq=False)
class _Place:
    """Room on the device and the block that lies in it."""

    number: int
    block: nn.Module | None = None
    copies: dict[int, Tensor] = field(default_factory=dict)
    """By the identity of what they were copied from."""
    restore: Restore | None = None
    """Puts the block's own weights back; None while it does not compute."""

    def show(self) -> None:
        """Let the block compute with the copies."""
        assert self.block is not None
        self.restore = replace_weights(self.block.modules(), lambda tensor: self.copies[id(tensor)])

    def hide(self) -> None:
        """Give the block its own weights back."""
        if self.restore is not None:
            self.restore()
            self.restore = None

    def empty(self) -> None:
        """Forget what lies here."""
        self.hide()
        self.block, self.copies = None, {}


class _Stream:
    """Decides which block lies where and when it is copied."""

    def __init__(self, blocks: Sequence[nn.Module], copier: Copier) -> None:
        self._copier = copier
        self._places = [_Place(number=number) for number in range(copier.num_places)]
        self._follows = dict(zip(blocks, [*blocks[1:], *blocks[:1]], strict=True))  # until seen otherwise
        self._last: nn.Module | None = None

    def arrive(self, block: nn.Module, _args: object) -> None:
        """Make a block ready to compute, and begin to fetch the one that followed it last time."""
        place = self._find(block) or self._fetch(block, self._idle())
        self._copier.wait(place.number)
        if place.restore is None:
            place.show()
        if self._last is not None:
            self._follows[self._last] = block
        self._last = block
        following = self._follows[block]
        if len(self._places) > 1 and self._find(following) is None:
            self._fetch(following, self._idle())

    def leave(self, block: nn.Module, _args: object, _result: object) -> None:
        """Let a block's place be used again."""
        place = self._find(block)
        assert place is not None
        place.hide()
        self._copier.release(place.number)
        if len(self._places) == 1:
            place.empty()

    def clear(self) -> None:
        """Give every block its own weights back, also one that failed while it computed."""
        for place in self._places:
            place.empty()

    def _find(self, block: nn.Module) -> _Place | None:
        return next((place for place in self._places if place.block is block), None)

    def _idle(self) -> _Place:
        """Return a place where no block computes: not that of the latest one, unless there is no other."""
        return next((place for place in self._places if place.block is not self._last), self._places[0])

    def _fetch(self, block: nn.Module, place: _Place) -> _Place:
        if place.restore is not None:  # of a block that failed while it computed
            place.hide()
            self._copier.release(place.number)
        own = list(weights(block))
        copies = self._copier.copy(place.number, own)
        place.block, place.copies = block, {id(one): copy for one, copy in zip(own, copies, strict=True)}
        return place
