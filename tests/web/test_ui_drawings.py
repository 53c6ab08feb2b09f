"""From what picture components send to the pictures of a run."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidImage, InvalidRequest, WebuiError
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


def slip(folder: Path, *layers: bytes) -> str:
    """Put a drawing's files into a folder and name them."""
    for name, data in (
        ("below.png", b"below"),
        ("all.png", b"all"),
        *((f"{at}.png", one) for at, one in enumerate(layers)),
    ):
        (folder / name).write_bytes(data)
    named = {
        "background": str(folder / "below.png"), "composite": str(folder / "all.png"),
        "layers": [*(str(folder / f"{at}.png") for at in range(len(layers))), None],
    }  # fmt: skip
    return json.dumps(named)


def test_a_slip_names_the_files_of_a_drawing(tmp_path: Path):
    found = drawing_of(slip(tmp_path, b"one", b"two"), tmp_path)
    assert found == Drawing(background=b"below", layers=(b"one", b"two"), composite=b"all")
    assert drawing_of("", tmp_path) == Drawing()


@pytest.mark.parametrize(
    "wrong",
    [
        "[]", "3", '{"layers": {}}', '{"layers": [3]}', '{"layers": [], "background": "/etc/passwd"}',
        '{"layers": ["a\\u0000b"]}', '{"layers": [], "composite": "{}/../secret.png"}', "{", 7,
    ],
)  # fmt: skip
def test_a_slip_names_uploads_only(tmp_path: Path, wrong: Any):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (tmp_path / "secret.png").write_bytes(layer((0, 0, 1, 1)))
    if isinstance(wrong, str):
        wrong = wrong.replace("{}/", f"{uploads}/")
    with pytest.raises(WebuiError):
        drawing_of(wrong, uploads)


def test_a_link_does_not_lead_out_of_the_uploads(tmp_path: Path):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    try:
        (uploads / "link.png").symlink_to(tmp_path / "secret.png")
    except OSError:
        pytest.skip("links cannot be made here")
    with pytest.raises(InvalidRequest):
        drawing_of(json.dumps({"background": str(uploads / "link.png"), "layers": []}), uploads)


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
