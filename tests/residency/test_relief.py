"""What happens when memory runs out, rung by rung, and decoding in tiles."""

import gc
import weakref

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modules.domain.errors import OutOfMemory
from modules.residency import relief
from modules.residency.relief import climb, sparing
from modules.residency.tiles import decode_in_tiles
from modules.sampling.types import Conditioning

ON_A_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def failing(error: Exception) -> int:
    raise error


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError(), ON_A_CPU])
def test_the_next_rung_is_tried_and_told(error: Exception) -> None:
    told: list[str] = []
    assert climb("decoding", [("whole", lambda: failing(error)), ("in tiles", lambda: 2)], told.append) == 2
    assert told == ["Not enough memory for decoding at once: in tiles instead"]


def test_nothing_is_told_when_the_first_rung_serves() -> None:
    told: list[str] = []
    assert climb("decoding", [("whole", lambda: 1), ("in tiles", lambda: 2)], told.append) == 1
    assert told == []


def test_every_rung_failed() -> None:
    rungs = [(name, lambda: failing(torch.OutOfMemoryError("full"))) for name in ("whole", "in tiles")]
    with pytest.raises(OutOfMemory, match=r"Out of memory while decoding.*--medvram"):
        climb("decoding", rungs, lambda text: None)


def test_other_errors_end_the_climb() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        climb("decoding", [("whole", lambda: failing(RuntimeError("shapes differ"))), ("next", lambda: 2)], print)


def test_what_a_failed_attempt_held_is_gone_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    order, alive = [], []

    def greedy() -> int:
        held = torch.zeros(10)
        alive.append(weakref.ref(held))
        raise torch.OutOfMemoryError("full")

    def modest() -> int:
        order.append("attempt")
        assert alive[0]() is None
        return 1

    monkeypatch.setattr(relief, "free_caches", lambda: order.append("freed") or gc.collect())
    climb("decoding", [("whole", greedy), ("again", modest)], lambda text: None)
    assert order == ["freed", "attempt"]


def test_a_batch_that_does_not_fit_goes_row_by_row_from_then_on() -> None:
    sizes, told = [], []

    def network(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("full")
        return x * t[:, None, None, None] + conditioning.tokens.sum() + conditioning.extras["more"]

    spare = sparing(network, told.append)
    x, t = torch.randn(3, 4, 2, 2), torch.tensor([1.0, 2.0, 3.0])
    conditioning = Conditioning(tokens=torch.randn(3, 77, 2), extras={"more": torch.randn(3, 1, 1, 1)})
    out = spare(x, t, conditioning)
    expected = x * t[:, None, None, None] + conditioning.tokens.sum((1, 2))[:, None, None, None]
    torch.testing.assert_close(out, expected + conditioning.extras["more"])
    spare(x, t, conditioning)
    assert sizes == [3, 1, 1, 1, 1, 1, 1]
    assert told == ["Not enough memory for sampling at once: one picture after another instead"]


def test_a_single_row_that_does_not_fit_is_an_error() -> None:
    def network(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(OutOfMemory, match="sampling"):
        sparing(network, print)(torch.zeros(1, 4, 2, 2), torch.zeros(1), Conditioning(tokens=torch.zeros(1, 77, 2)))


def test_room_is_made_as_long_as_there_is_something_to_send_away() -> None:
    others, told = ["a", "b"], list[str]()

    def attempt() -> int:
        if others:
            raise torch.OutOfMemoryError("full")
        return 1

    def make_room() -> bool:
        return bool(others and others.pop())

    assert climb("decoding", [("whole", attempt), ("in tiles", lambda: 2)], told.append, make_room) == 1
    assert told == []


def test_at_last_the_network_shrinks_and_stays_small() -> None:
    sizes, told, small = list[int](), list[str](), list[bool]()

    def network(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        sizes.append(len(x))
        if not small:
            raise torch.OutOfMemoryError("full")
        return x

    spare = sparing(network, told.append, shrink=lambda: small.append(True))
    x, conditioning = torch.randn(2, 4, 2, 2), Conditioning(tokens=torch.zeros(2, 77, 2))
    for _ in range(2):
        torch.testing.assert_close(spare(x, torch.zeros(2), conditioning), x)
    assert sizes == [2, 1, 1, 1, 1, 1]  # whole, first row, and from then on small, row by row
    assert small == [True]
    assert told == ["Not enough memory for sampling at once: with the weights brought block by block instead"]


def linear(x: Tensor) -> Tensor:
    """Decode every latent pixel by itself: 4 channels to 3, at eight times the size."""
    matrix = torch.arange(12.0).reshape(3, 4) / 10 - 0.5
    return F.interpolate(torch.einsum("bchw,rc->brhw", x, matrix), scale_factor=8.0, mode="nearest")


@pytest.mark.parametrize("size", [(100, 60), (48, 48), (49, 97), (8, 130), (84, 85)])
def test_tiles_of_a_linear_decoder_have_no_seam(size: tuple[int, int]) -> None:
    x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Size] = []

    def watched(part: Tensor) -> Tensor:
        seen.append(part.shape)
        return linear(part)

    torch.testing.assert_close(decode_in_tiles(watched, x), linear(x), atol=1e-5, rtol=0)
    assert max(max(shape[-2:]) for shape in seen) <= 48


def test_one_tile_is_the_whole_picture_to_the_bit() -> None:
    x = torch.randn(2, 4, 48, 31)
    torch.testing.assert_close(decode_in_tiles(linear, x), linear(x), atol=1e-6, rtol=0)


def test_tiles_of_a_repeating_picture_see_the_opposite_border() -> None:
    x = torch.randn(1, 4, 60, 20, generator=torch.Generator().manual_seed(0))
    kernel = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(1))

    def smooth(part: Tensor) -> Tensor:
        return F.interpolate(F.conv2d(part, kernel, padding=2), scale_factor=8.0, mode="nearest")

    padded = F.pad(x, (2, 2, 2, 2), mode="circular")
    exact = F.interpolate(F.conv2d(padded, kernel), scale_factor=8.0, mode="nearest")
    tiled = decode_in_tiles(smooth, x, wrap=True)
    assert tiled.shape == exact.shape
    # inside a tile's border of two latent pixels a convolution sees zeros, and such borders are faded out
    torch.testing.assert_close(tiled[..., :8, :], exact[..., :8, :], atol=1e-4, rtol=0)
