"""Overlapping tiles: they cover the picture, and joining untouched tiles gives it back."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging.tiles import joined, tiling_of


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(192, 128), (128, 128), (200, 310), (64, 40), (512, 64)])
@pytest.mark.parametrize("overlap", [8, 32])
def test_tiles_cover_and_join(size: tuple[int, int], overlap: int) -> None:
    image = noise(*size)
    tiling = tiling_of(size, (128, 64), overlap)
    seen = np.zeros(size[::-1], int)
    for _, (left, top, right, bottom) in tiling.boxes():
        assert (right - left, bottom - top) == (128, 64)
        seen[max(top, 0) : bottom, max(left, 0) : right] += 1
    assert seen.min() >= 1
    tiles = {place: image.crop(box) for place, box in tiling.boxes()}
    assert np.abs(np.asarray(joined(tiling, tiles)).astype(int) - np.asarray(image)).max() <= 1


def test_neighbours_fade_into_each_other() -> None:
    tiling = tiling_of((112, 64), (64, 64), 16)
    tiles = {(0, 0): Image.new("RGB", (64, 64), "black"), (0, 1): Image.new("RGB", (64, 64), "white")}
    line = np.asarray(joined(tiling, tiles))[10, :, 0].astype(int)
    assert (line[:48] == 0).all()
    assert (line[64:] == 255).all()
    assert (np.diff(line[48:65]) > 0).all()
    assert np.asarray(joined(tiling, {(0, 0): tiles[0, 0]})).max() == 0


def test_too_much_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        tiling_of((100, 100), (64, 32), 32)
