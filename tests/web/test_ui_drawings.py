"""From what picture components send to the pictures of a run."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidImage, InvalidRequest
from modules.imaging.open import ImageLimits
from modules.web.ui.drawings import Drawing, drawing_of, drawn_mask, file_of, given, png, size_of, sketched
from modules.web.ui.sending import sent_file

LIMITS = ImageLimits()
BLUE, RED = (0, 0, 255), (255, 0, 0)


def layer(box: tuple[int, int, int, int], alpha: int = 255, size: tuple[int, int] = (32, 24)) -> bytes:
    image = Image.new("RGBA", size)
    image.paste((*RED, alpha), box)
    return png(image)


def drawing(*layers: bytes) -> Drawing:
    below = Image.new("RGBA", (32, 24), BLUE)
    above = below.copy()
    for one in layers:
        above.alpha_composite(Image.open(io.BytesIO(one)))
    return Drawing(background=png(below), layers=layers, composite=png(above))


def test_a_mask_is_white_wherever_any_layer_was_drawn_on():
    mask = np.asarray(drawn_mask(drawing(layer((0, 0, 4, 4)), layer((10, 10, 20, 20), 100)), LIMITS))
    assert mask.shape == (24, 32)
    assert (mask[:4, :4] == 255).all()
    assert (mask[10:20, 10:20] == 100).all()
    assert mask[5:10].max() == 0


def test_a_picture_without_a_drawing_has_a_black_mask():
    assert drawn_mask(drawing(), LIMITS).getextrema() == (0, 0)


def test_a_sketch_is_laid_over_the_picture_and_nothing_else_changes():
    picture, mask = sketched(drawing(layer((8, 8, 16, 16))), blur=0, transparency=25, limits=LIMITS)
    weights, colours = np.asarray(Image.open(io.BytesIO(mask))), np.asarray(Image.open(io.BytesIO(picture)))
    assert (weights[8:16, 8:16] == round(255 * 0.75)).all()
    assert weights.sum() == 64 * round(255 * 0.75)
    assert (colours[weights == 0] == BLUE).all()
    np.testing.assert_allclose(colours[10, 10], (191, 0, 64), atol=1)


def test_a_blurred_sketch_fades_out():
    picture, _ = sketched(drawing(layer((8, 8, 24, 24))), blur=2, transparency=0, limits=LIMITS)
    red = np.asarray(Image.open(io.BytesIO(picture)))[16, :, 0]
    assert red[0] < 5 < red[7] < red[9] < red[14]


def test_what_came_before_its_event_is_found_once():
    kept = SimpleNamespace(background=b"b", layers=[b"l", None], composite=b"c")
    editor = SimpleNamespace(blob_storage={"7": kept})
    assert drawing_of(editor, {"id": "7"}) == Drawing(background=b"b", layers=(b"l",), composite=b"c")
    assert drawing_of(editor, {"id": "7"}) == Drawing()
    assert drawing_of(editor, None) == Drawing()


def test_files_are_read_and_their_loss_is_told(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert file_of({"path": str(path)}) == b"x"
    assert file_of(None) is None
    path.unlink()
    with pytest.raises(InvalidRequest, match="drop it again"):
        file_of({"path": str(path)})


@pytest.mark.parametrize("raw", ["text", {"path": 3}, {}])
def test_other_values_are_refused(raw: Any):
    with pytest.raises(InvalidRequest):
        file_of(raw)


def test_a_picture_has_to_be_one():
    with pytest.raises(InvalidRequest, match="no picture yet"):
        given(None, LIMITS)
    with pytest.raises(InvalidImage):
        given(b"not a picture", LIMITS)
    assert size_of(given(layer((0, 0, 1, 1)), LIMITS), LIMITS) == (32, 24)


def test_a_sent_picture_keeps_its_bytes(tmp_path: Path):
    data = layer((0, 0, 4, 4))
    first = sent_file(tmp_path, data)
    assert Path(first).read_bytes() == data
    assert sent_file(tmp_path, data) == first
    assert sent_file(tmp_path, layer((0, 0, 5, 5))) != first
