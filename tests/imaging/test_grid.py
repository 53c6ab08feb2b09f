"""How pictures are laid out in a grid."""

import numpy as np
import pytest
from PIL import Image

from modules.imaging.grid import grid_rows, make_grid, wants_grid
from modules.settings.sections import Saving


@pytest.mark.parametrize(
    ("count", "options", "rows"),
    [
        (4, {}, 2),
        (5, {}, 2),
        (7, {}, 3),
        (2, {}, 1),
        (1, {}, 1),
        (5, {"grid_prevent_empty_spots": True}, 1),
        (12, {"grid_prevent_empty_spots": True}, 3),
        (6, {"n_rows": 5}, 5),
        (2, {"n_rows": 16}, 2),
        (6, {"n_rows": 0}, 3),
    ],
)
def test_rows(count, options, rows):
    assert grid_rows(count, 3, Saving(**options)) == rows


def test_pictures_run_along_rows():
    grid = make_grid([Image.new("RGB", (2, 1), (level, 0, 0)) for level in (10, 20, 30)], 2, "#0000ff")
    assert np.asarray(grid)[:, :, 0].tolist() == [[10, 10, 20, 20], [30, 30, 0, 0]]
    assert np.asarray(grid)[1, 2:].tolist() == [[0, 0, 255]] * 2


def test_smaller_pictures_stand_in_the_middle_of_their_cell():
    grid = make_grid([Image.new("L", (4, 4), 0), Image.new("L", (2, 2), 0)], 1)
    assert (np.asarray(grid)[:, 4:, 0] == 0).astype(int).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_an_unreadable_colour_is_white():
    assert make_grid([Image.new("L", (1, 1)), Image.new("L", (3, 3))], 1, "nonsense").getpixel((0, 0)) == (
        255,
        255,
        255,
    )


def test_single_pictures_get_a_grid_only_on_request():
    assert [wants_grid(count, Saving()) for count in (0, 1, 2)] == [False, False, True]
    assert wants_grid(1, Saving(grid_only_if_multiple=False))
