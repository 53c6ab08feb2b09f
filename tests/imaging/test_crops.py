"""Cutting pictures to the sizes that training wants."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from modules.imaging.crops import best_size, centre_crop, split_oversized


def ramp(width: int, height: int) -> Image.Image:
    """Return a picture whose red tells the column and whose green tells the row, in percent."""
    x, y = np.meshgrid(np.linspace(0, 100, width), np.linspace(0, 100, height))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=-1).round().astype(np.uint8))


@pytest.mark.parametrize("size", [(64, 256), (256, 64)])
def test_parts_reach_from_end_to_end_in_equal_steps(size: tuple[int, int]):
    upright = size[1] > size[0]
    parts = split_oversized(ramp(*size), (64, 64), threshold=0.5, overlap=0.2)
    values = [np.asarray(part)[..., 1 if upright else 0] for part in parts]
    assert {part.size for part in parts} == {(64, 64)}
    assert (values[0].min(), values[-1].max()) == (0, 100)
    begins = [int(one.min()) for one in values]
    assert len({round(later - earlier, -1) for earlier, later in pairwise(begins)}) == 1
    # A fifth of 64 pixels is shown twice at least: (256 - 64 * 0.2) / (64 * 0.8) = 4.75, so five parts.
    assert len(parts) == 5


@pytest.mark.parametrize(("size", "threshold"), [((64, 100), 0.5), ((64, 64), 1.0), ((100, 64), 0.5)])
def test_pictures_that_are_not_far_longer_stay_whole(size: tuple[int, int], threshold: float):
    image = ramp(*size)
    assert split_oversized(image, (64, 64), threshold=threshold, overlap=0.2) == [image]


def sizes(**changed: object) -> dict[str, object]:
    return {"sides": (384, 768), "areas": (64 * 64, 640 * 640), "threshold": 0.1, "largest": True, **changed}


def test_the_best_size_is_the_one_that_trying_all_of_them_finds():
    def error(wide: int, high: int) -> float:
        quotient = (1000 / 700) / (wide / high)
        return 1 - min(quotient, 1 / quotient)

    every = [(w, h) for w in range(384, 769, 64) for h in range(384, 769, 64) if w * h <= 640 * 640]
    near = [one for one in every if error(*one) <= 0.1]
    assert best_size((1000, 700), **sizes()) == max(near, key=lambda one: (one[0] * one[1], -error(*one)))  # type: ignore[arg-type]
    assert best_size((1000, 700), **sizes(largest=False)) == min(near, key=lambda one: error(*one))  # type: ignore[arg-type]
    assert best_size((4000, 100), **sizes()) is None  # type: ignore[arg-type]


def test_a_crop_keeps_the_centre_and_the_proportions():
    made = np.asarray(centre_crop(ramp(400, 100), (64, 64))).astype(int)
    assert made.shape == (64, 64, 3)
    assert made[:, :, 0].mean() == pytest.approx(50, abs=1)
    assert (made[0, 0, 1], made[-1, 0, 1]) == pytest.approx((0, 100), abs=2)
    assert np.ptp(made[0, :, 0]) == pytest.approx(25, abs=2)
