"""Blocks of a network come to the device one ahead of the computation, never more than two at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from modules.families.sd1.network import UNet
from modules.residency.sizes import weight_bytes, weights
from modules.residency.streaming import LARGE_BYTES, PlainCopier, leading, outer_blocks, streamed
from tests.families.narrow_files import unet_sizes

CPU = torch.device("cpu")


class Watched:
    """A copier of two places that spoils what was released, and refuses what a real one could not do in time."""

    num_places = 2

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.views: dict[int, list[Tensor]] = {}
        self.waited: set[int] = set()
        self.busy: set[int] = set()
        self.closed = False

    def copy(self, place: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        assert place not in self.busy, "the place is overwritten while its block computes"
        for view in self.views.get(place, []):
            view.fill_(float("nan"))
        self.log.append(("copy", place))
        self.waited.discard(place)
        self.views[place] = [tensor.clone() for tensor in tensors]
        return self.views[place]

    def wait(self, place: int) -> None:
        self.log.append(("wait", place))
        self.waited.add(place)
        self.busy.add(place)

    def release(self, place: int) -> None:
        self.log.append(("release", place))
        self.busy.discard(place)

    def close(self) -> None:
        self.closed = True
        self.views.clear()

    def place_of(self, weight: Tensor) -> int | None:
        return next(
            (n for n, views in self.views.items() if any(v.data_ptr() == weight.data_ptr() for v in views)), None
        )


@pytest.fixture
def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(unet_sizes(context_dim=24)).eval().requires_grad_(False)


def run(unet: UNet, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 77, 24, generator=generator)
    with torch.inference_mode():
        return unet(x, torch.tensor([3.0, 700.0]), context)


@contextmanager
def checked(blocks: Sequence[nn.Module], copier: Watched) -> Iterator[list[nn.Module]]:
    """Look at every block when it computes: its weights are copies, and were waited for."""
    seen: list[nn.Module] = []

    def look(block: nn.Module, _args: object) -> None:
        seen.append(block)
        for weight in weights(block):
            place = copier.place_of(weight)
            assert place is not None, "computes with the weights in main memory"
            assert place in copier.waited, "computes before the copy has come"

    handles = [block.register_forward_pre_hook(look) for block in blocks]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("large_bytes", [LARGE_BYTES, 20_000, 0])
def test_results_are_the_same_to_the_bit_and_no_block_runs_ahead_of_its_copy(unet: UNet, large_bytes: int) -> None:
    expected, before, copier = run(unet), [id(one) for one in weights(unet)], Watched()
    blocks = outer_blocks(unet, large_bytes)
    with streamed(unet, CPU, copier, large_bytes=large_bytes), checked(blocks, copier) as seen:
        for _ in range(3):
            assert torch.equal(run(unet), expected)
    assert len(seen) == 3 * len(blocks)
    assert [id(one) for one in weights(unet)] == before
    assert copier.closed
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in unet.modules())
    assert torch.equal(run(unet), expected)


def test_the_next_block_is_copied_while_the_present_one_computes(unet: UNet) -> None:
    copier = Watched()
    with streamed(unet, CPU, copier):
        for _ in range(2):
            run(unet)
    kinds = [kind for kind, _ in copier.log]
    per_pass = len(outer_blocks(unet))
    assert kinds[0] == "copy"  # only the very first block is waited for without anything to do
    assert kinds[1:] == ["wait", "copy", "release"] * (2 * per_pass)
    assert kinds.count("copy") == 2 * per_pass + 1
    assert all(place != other for (_, place), (_, other) in zip(copier.log[1::3], copier.log[2::3], strict=True))


class Odd(nn.Module):
    """Blocks in another order than they are listed in, one of them twice, and a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.middle = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.full((4,), 2.0))
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.middle(self.first(x)))) * self.scale + self.shift


def test_the_order_is_learned_from_the_first_pass() -> None:
    odd, copier, x = Odd().requires_grad_(False), Watched(), torch.randn(3, 4)
    expected = odd(x)
    with streamed(odd, CPU, copier):
        assert torch.equal(odd(x), expected)
        copier.log.clear()
        for _ in range(2):
            assert torch.equal(odd(x), expected)
    # middle follows itself and then last, so of the four calls one finds another block than was foreseen
    assert [kind for kind, _ in copier.log].count("copy") <= 2 * 4


def test_some_blocks_may_stay_and_are_not_copied_again(unet: UNet) -> None:
    blocks, copier, expected = outer_blocks(unet), Watched(), run(unet)
    room = sum(weight_bytes(block) for block in blocks[:3])
    assert list(leading(blocks, room)) == blocks[:3]
    assert list(leading(blocks, room - 1)) == blocks[:2]
    with streamed(unet, CPU, copier, resident_bytes=room), checked(blocks[3:], copier):
        assert torch.equal(run(unet), expected)
    with streamed(unet, CPU, copier, resident_bytes=weight_bytes(unet)):
        copier.log.clear()
        assert torch.equal(run(unet), expected)
    assert copier.log == []


@pytest.mark.parametrize("plain", [False, True])
def test_a_pass_that_failed_leaves_no_block_behind(unet: UNet, plain: bool) -> None:
    expected, copier = run(unet), PlainCopier(CPU) if plain else Watched()
    before = [id(one) for one in weights(unet)]

    def fail(_module: nn.Module, _args: object) -> None:
        raise ValueError("in the middle")

    with streamed(unet, CPU, copier):
        handle = unet.middle_block[1].register_forward_pre_hook(fail)
        with pytest.raises(ValueError, match="in the middle"):
            run(unet)
        handle.remove()
        assert torch.equal(run(unet), expected)
    assert [id(one) for one in weights(unet)] == before


def test_without_a_card_blocks_are_there_one_at_a_time(unet: UNet) -> None:
    meta, present = torch.device("meta"), list[int]()
    blocks = outer_blocks(unet)

    def look(_block: nn.Module, _args: object) -> None:
        present.append(sum(next(weights(block)).device == meta for block in blocks))

    with streamed(unet, meta):
        handles = [block.register_forward_pre_hook(look) for block in blocks]
        x = torch.zeros(1, 4, 8, 8, device=meta)
        unet(x, torch.zeros(1, device=meta), torch.zeros(1, 77, 24, device=meta))
        for handle in handles:
            handle.remove()
    assert present == [1] * len(blocks)
