"""From what gradio's picture components send to the pictures that a run starts from."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageFilter

from modules.domain.errors import InvalidRequest
from modules.imaging.open import ImageLimits, open_header, open_image
from modules.web.rest.strict_json import loads

FIELD = "init_images"
MAX_LAYERS = 64
NO_PICTURE = "there is no picture yet; drop one on the field, or send one from a gallery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture and what was drawn on it, as files of the same size; None for what is not there."""

    background: bytes | None = None
    layers: tuple[bytes, ...] = ()
    """What was drawn, transparent elsewhere."""
    composite: bytes | None = None
    """All of it together."""


def file_of(raw: Any) -> bytes | None:
    """Read the file behind a raw value of an image component; gradio has checked that it is an upload."""
    if raw is None:
        return None
    if not isinstance(raw, Mapping) or not isinstance(raw.get("path"), str):
        raise InvalidRequest("expected an uploaded picture", field=FIELD)
    return _read(Path(raw["path"]))


def drawing_of(slip: Any, folder: Path) -> Drawing:
    """Read the drawing of an image editor from a slip that names its files.

    Args:
        slip: JSON with the paths `background`, `layers` and `composite`; empty when there is no drawing yet.
        folder: that of uploads; other files are not read.

    Raises:
        InvalidRequest: not a slip, or a file that is not an upload.
    """
    if not slip:
        return Drawing()
    named = loads(slip.encode()) if isinstance(slip, str) else None
    layers = named.get("layers") if isinstance(named, dict) else None
    if not isinstance(named, dict) or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise InvalidRequest("expected a drawing", field=FIELD)
    found = [_uploaded(path, folder) for path in layers]
    return Drawing(
        background=_uploaded(named.get("background"), folder),
        layers=tuple(one for one in found if one is not None),
        composite=_uploaded(named.get("composite"), folder),
    )


def _uploaded(path: Any, folder: Path) -> bytes | None:
    if path is None:
        return None
    real = Path(os.path.realpath(path)) if isinstance(path, str) and "\0" not in path else None
    if real is None or not real.is_relative_to(os.path.realpath(folder)):
        raise InvalidRequest("expected an uploaded picture", field=FIELD)
    return _read(real)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest("the uploaded picture is gone; drop it again", field=FIELD) from error


def picture_of(drawing: Drawing, limits: ImageLimits, *, drawn: bool) -> bytes:
    """Return a drawing as one file.

    Args:
        drawing: a picture and what is on it.
        limits: of pictures.
        drawn: whether what is drawn on it belongs to it.

    Raises:
        InvalidRequest: there is no picture.
    """
    below = given(drawing.background, limits)
    return given(drawing.composite or below, limits) if drawn else below


def given(data: bytes | None, limits: ImageLimits, field: str = FIELD) -> bytes:
    """Return a picture that has to be there, after a look at its header.

    Raises:
        InvalidRequest: it is not there.
        InvalidImage: it is not a picture.
        LimitExceeded: it is too large.
    """
    if data is None:
        raise InvalidRequest(NO_PICTURE, field=field)
    open_header(data, limits, field=field)
    return data


def size_of(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Return width and height of a picture as it is shown, pixels."""
    return open_image(data, limits, field=FIELD).size


def drawn_mask(drawing: Drawing, limits: ImageLimits) -> Image.Image:
    """Return where something was drawn: a mask of mode L at the size of the picture, white where drawn.

    Raises:
        InvalidRequest: there is no picture.
    """
    size = open_header(given(drawing.background, limits), limits).size
    mask = Image.new("L", size)
    for layer in drawing.layers:
        alpha = open_image(layer, limits, field="mask").convert("RGBA").getchannel("A")
        mask = ImageChops.lighter(mask, alpha if alpha.size == size else alpha.resize(size))
    return mask


def sketched(drawing: Drawing, *, blur: float, transparency: float, limits: ImageLimits) -> tuple[bytes, bytes]:
    """Make the picture and the mask of an inpaint sketch: the drawing softly laid over the picture it was drawn on.

    Args:
        drawing: the sketch.
        blur: of the drawing and its edges, pixels.
        transparency: percent by which the mask is weakened.
        limits: of pictures.

    Raises:
        InvalidRequest: there is no picture.
    """
    below = open_image(given(drawing.background, limits), limits).convert("RGB")
    above = open_image(given(drawing.composite, limits), limits).convert("RGB")
    drawn = drawn_mask(drawing, limits).point([0] + [255] * 255)
    weight = 1 - min(max(transparency, 0.0), 100.0) / 100
    mask = drawn.point([round(value * weight) for value in range(256)])
    soft = ImageFilter.GaussianBlur(min(max(blur, 0.0), 64.0))
    laid = Image.composite(above.filter(soft), below, mask.filter(soft))
    return png(laid), png(mask)


def png(image: Image.Image) -> bytes:
    """Encode a picture without loss."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
