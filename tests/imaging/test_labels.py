"""Grids with labels: where the pictures lie, what is written, and what no font can write."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging.labels import Label, Lettering, labelled_grid

COLOURS = ((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200), (200, 0, 200))
CELLS = [Image.new("RGB", (128, 128), colour) for colour in COLOURS]
NOTHING = [[Label(text="")]]


def texts(*words: str, active: bool = True) -> list[list[Label]]:
    return [[Label(text=word, active=active)] for word in words]


def ink(image: Image.Image) -> np.ndarray:
    """Return where something is written: dark places."""
    return np.asarray(image.convert("L")).astype(int) < 128


def test_without_labels_there_is_no_border():
    grid = labelled_grid(CELLS, NOTHING * 3, NOTHING * 2)
    assert grid.size == (384, 256)
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 3)
        cell = grid.crop((column * 128, row * 128, column * 128 + 128, row * 128 + 128))
        assert cell.getcolors() == [(128 * 128, colour)]


@pytest.mark.parametrize("margin", [0, 10])
def test_pictures_lie_right_of_and_below_the_labels(margin: int):
    grid = labelled_grid(CELLS, texts("red", "green", "blue"), texts("CFG Scale: 3.0", "CFG Scale: 7.0"), margin=margin)
    left, top = grid.width - 384 - 2 * margin, grid.height - 256 - margin
    assert left == 96
    assert 10 < top < 30
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 3)
        x, y = left + column * (128 + margin), top + row * (128 + margin)
        assert grid.crop((x, y, x + 128, y + 128)).getcolors() == [(128 * 128, colour)]
    if margin:
        assert grid.getpixel((left + 128 + margin // 2, top + 5)) == (255, 255, 255)
    above, beside = ink(grid.crop((left, 0, grid.width, top))), ink(grid.crop((0, top, left, grid.height)))
    for column in range(3):
        place = above[:, column * (128 + margin) : column * (128 + margin) + 128]
        across = np.nonzero(place.any(axis=0))[0]
        assert abs((across[0] + across[-1]) / 2 - 63.5) <= 2
    assert beside[: 128 + margin].any()
    assert beside[128 + margin :].any()


def test_a_text_without_room_is_broken_and_then_written_smaller():
    long, word = texts("one two three four five six seven eight"), texts("W" * 14)
    low = labelled_grid(CELLS[:1], texts("one"), NOTHING)
    high = labelled_grid(CELLS[:1], long, NOTHING)
    assert high.height > low.height + 10
    grid = labelled_grid(CELLS[:1], word, NOTHING)
    small = ink(grid.crop((0, 0, 128, grid.height - 128)))
    assert not small[:, 0].any()
    assert not small[:, -1].any()


def test_a_label_that_does_not_hold_is_grey_and_struck_out():
    look = Lettering(active="#ff0000", inactive="#00ff00", background="#0000ff")
    grids = [
        labelled_grid(CELLS[:1], texts("mmmm", active=active), NOTHING, lettering=look) for active in (True, False)
    ]
    plain, struck = (np.asarray(grid.crop((0, 0, 128, grid.height - 128))).astype(int) for grid in grids)
    assert plain[..., 0].max() > 200
    assert plain[..., 1].max() < 50
    assert struck[..., 1].max() > 200
    assert (struck[..., 1] > 100).sum() > (plain[..., 0] > 100).sum()
    assert plain[0, 0].tolist() == [0, 0, 255]


def test_missing_pictures_are_black_and_smaller_ones_are_centred():
    cells = [CELLS[0], None, Image.new("RGB", (64, 64), (9, 9, 9)), CELLS[1]]
    grid = labelled_grid(cells, NOTHING * 2, NOTHING * 2)
    assert grid.getpixel((200, 60)) == (0, 0, 0)
    assert grid.getpixel((64, 192)) == (9, 9, 9)
    assert grid.getpixel((10, 140)) == (255, 255, 255)


def test_a_font_that_is_not_there_is_replaced():
    grid = labelled_grid(CELLS[:1], texts("word"), NOTHING, lettering=Lettering(font="/no/such/font.ttf"))
    assert ink(grid.crop((0, 0, 128, grid.height - 128))).any()
