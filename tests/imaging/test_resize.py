"""Pictures brought to a size and put back."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging.resize import CROP, FILL, STRETCH, flatten, paste_back, plain, resize


def picture(width: int, height: int) -> Image.Image:
    """Return a picture whose red grows to the right and whose green grows downwards."""
    values = np.zeros((height, width, 3), np.uint8)
    values[..., 0] = np.linspace(0, 250, width)
    values[..., 1] = np.linspace(0, 250, height)[:, None]
    return Image.fromarray(values)


@pytest.mark.parametrize("mode", [STRETCH, CROP, FILL])
@pytest.mark.parametrize("size", [(64, 64), (40, 24), (16, 80), (50, 30)])
def test_every_mode_gives_the_wanted_size(mode: int, size: tuple[int, int]) -> None:
    assert resize(picture(50, 30), *size, mode).size == size


def test_cropping_keeps_the_middle() -> None:
    cropped = np.asarray(resize(picture(80, 40), 40, 40, CROP)).astype(int)
    whole = np.asarray(picture(80, 40)).astype(int)
    assert np.abs(cropped - whole[:, 20:60]).max() <= 1


def test_filling_continues_the_outermost_rows() -> None:
    filled = np.asarray(resize(picture(80, 40), 80, 80, FILL)).astype(int)
    whole = np.asarray(picture(80, 40)).astype(int)
    assert np.abs(filled[20:60] - whole).max() <= 1
    assert np.abs(filled[:20] - whole[:1]).max() <= 2
    assert np.abs(filled[60:] - whole[-1:]).max() <= 2
    columns = np.asarray(resize(picture(40, 80), 80, 80, FILL)).astype(int)
    assert np.abs(columns[:, :20] - np.asarray(picture(40, 80)).astype(int)[:, :1]).max() <= 4


def test_pasting_back_covers_the_box_and_nothing_else() -> None:
    back = np.asarray(paste_back(Image.new("RGB", (64, 64), "red"), (40, 30), (4, 6, 24, 26)))
    assert back.shape == (30, 40, 4)
    inside = np.zeros((30, 40), bool)
    inside[6:26, 4:24] = True
    assert (back[inside] == (255, 0, 0, 255)).all()
    assert (back[~inside] == 0).all()


def test_nearest_adds_no_colours() -> None:
    checker = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("RGB")
    assert set(np.unique(np.asarray(plain(checker, 9, 9, "Nearest")))) == {0, 255}
    assert len(np.unique(np.asarray(plain(checker, 9, 9)))) > 2


def test_transparent_pictures_lie_on_the_colour() -> None:
    half = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    assert flatten(half, "#0000ff").getpixel((0, 0)) == (128, 0, 127)
    assert flatten(Image.new("L", (2, 2), 7), "#0000ff").getpixel((0, 0)) == (7, 7, 7)
    with pytest.raises(ValueError, match="color"):
        flatten(half, "no colour")
