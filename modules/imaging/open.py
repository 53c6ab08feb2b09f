"""Open pictures that come from outside. The only place that lets a decoder see foreign bytes."""

import base64
import binascii
import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from modules.domain.errors import InvalidImage, LimitExceeded
from modules.imaging.png_chunks import without_long_text

ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_DATA_URL = re.compile(r"data:image/[^,]{0,200}?;base64,", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]+")
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise for broken files; it has no common base class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """How large a picture from outside may be."""

    max_bytes: int = 50 * 2**20
    max_pixels: int = 64_000_000


def open_image(data: bytes, limits: ImageLimits | None = None, *, field: str = "image") -> Image.Image:
    """Decode a picture: its first frame, upright, as RGB or, where anything in it is transparent, RGBA.

    Args:
        data: the file.
        limits: checked against the file's length and header before anything is decoded.
        field: named in errors.

    Raises:
        InvalidImage: not a picture of an allowed format, or broken.
        LimitExceeded: too many bytes or pixels.
    """
    image = open_header(data, limits, field=field)
    try:
        image.load()
        return _plain(_upright(image))
    except DECODER_ERRORS as error:
        raise _invalid(error, field) from error


def open_header(data: bytes, limits: ImageLimits | None = None, *, field: str = "image") -> Image.Image:
    """Read the header of a picture and check its size; pixels are decoded on first use.

    Raises:
        InvalidImage: not a picture of an allowed format, or a broken header.
        LimitExceeded: too many bytes or pixels.
    """
    limits = limits or ImageLimits()
    if len(data) > limits.max_bytes:
        raise LimitExceeded(field, f"{len(data)} bytes", f"{limits.max_bytes} bytes", "api_max_image_mb")
    try:
        image = Image.open(io.BytesIO(without_long_text(data)), formats=ALLOWED_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LimitExceeded(field, "the picture's size", limits.max_pixels, "api_max_image_mpixels") from error
    except DECODER_ERRORS as error:
        raise _invalid(error, field) from error
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidImage("Invalid encoded image: it has no pixels", field=field)
    if width * height > limits.max_pixels:
        raise LimitExceeded(field, f"{width}x{height}", f"{limits.max_pixels} pixels", "api_max_image_mpixels")
    return image


def decode_base64(text: str, limits: ImageLimits | None = None, *, field: str = "image") -> bytes:
    """Return the bytes of a picture sent as base64, with or without `data:image/...;base64,` before it.

    Addresses and paths are not opened here; they fail like any other text that is not base64.

    Raises:
        InvalidImage: not base64, or empty.
        LimitExceeded: too many bytes.
    """
    limits = limits or ImageLimits()
    if len(text) > limits.max_bytes * 3 // 2:
        raise LimitExceeded(field, f"{len(text)} characters", f"{limits.max_bytes} bytes", "api_max_image_mb")
    prefix = _DATA_URL.match(text)
    body = _BLANKS.sub("", text[prefix.end() :] if prefix else text)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage("Invalid encoded image: it is not base64", field=field) from error
    if not data:
        raise InvalidImage("Invalid encoded image: it is empty", field=field)
    return data


def _invalid(error: BaseException, field: str) -> InvalidImage:
    known = ", ".join(ALLOWED_FORMATS)
    reason = f"not a readable {known} file" if isinstance(error, Image.UnidentifiedImageError) else str(error)[:200]
    return InvalidImage(f"Invalid encoded image: {reason}", field=field)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:
        return image  # Unreadable EXIF says nothing about the orientation.


def _plain(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB or RGBA of eight bits."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    wanted = "RGBA" if transparent else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale grey of more than eight bits: 16-bit by its range, floats of at most 1 as fractions of white."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        white = 1.0 if top <= 1 else 255.0
    else:
        white = 65535.0 if image.mode.startswith("I;16") or top > 255 else 255.0
    grey = (values / white).clip(0, 1) * 255
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
