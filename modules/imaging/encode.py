"""A picture and its infotext as the bytes of a file."""

import io
import logging
from dataclasses import dataclass

import numpy as np
from PIL import Image

from modules.domain.errors import InvalidRequest
from modules.imaging.exif import exif_with_comment
from modules.imaging.png_writer import png_bytes

logger = logging.getLogger(__name__)

FORMATS = ("png", "jpg", "jpeg", "webp", "avif")
MAX_SIDE = {"jpg": 65500, "jpeg": 65500, "avif": 65535, "webp": 16383}
"""Longest side a format's encoder takes, in pixels; libjpeg stops short of the 65535 that JPEG could hold."""
_JPEG_EXIF_BYTES = 65533
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An encoded file."""

    data: bytes
    format: str
    """The format it really has; a picture too large for the one asked for becomes png."""


def encode(
    image: Image.Image, format: str, infotext: str | None, *, quality: int = 80, lossless: bool = False
) -> Encoded:
    """Encode a picture.

    Args:
        image: any mode; formats without transparency drop it.
        format: one of `FORMATS`.
        infotext: stored in the file, or None for none.
        quality: 1..100 for the lossy formats.
        lossless: for webp.

    Raises:
        InvalidRequest: the format is none of `FORMATS`.
    """
    wanted = format.lower().lstrip(".")
    if wanted not in FORMATS:
        raise InvalidRequest(
            f"the image format {format[:20]!r} is none of {', '.join(FORMATS)}", field="samples_format"
        )
    actual = format_for(wanted, image.size)
    if actual == "png":
        return Encoded(data=_png(image, infotext), format="png")
    options = {"quality": quality}
    if actual == "webp":
        options["lossless"] = lossless
    exif = exif_with_comment(infotext) if infotext else b""
    if actual in ("jpg", "jpeg"):
        exif = _fitting_jpeg(exif)
    name = "JPEG" if actual in ("jpg", "jpeg") else actual.upper()
    return Encoded(data=_with_pillow(image, name, exif, options), format=actual)


def format_for(wanted: str, size: tuple[int, int]) -> str:
    """Return the format to use: png for pictures that are larger than the wanted one can store."""
    return "png" if max(size) > MAX_SIDE.get(wanted, 2**31 - 1) else wanted


def _png(image: Image.Image, infotext: str | None) -> bytes:
    if image.mode not in _CHANNELS:
        image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
    texts = {key: text for key, text in image.info.items() if isinstance(key, str) and _is_text(key, text)}
    if infotext is not None:
        texts["parameters"] = infotext
    pixels = np.asarray(image, dtype=np.uint8)
    return png_bytes(pixels.reshape(image.height, image.width, _CHANNELS[image.mode]), texts)


def _is_text(key: str, value: object) -> bool:
    """Tell whether an entry of Pillow's `info` is a text that a PNG can carry under this keyword."""
    return isinstance(value, str) and key.isascii() and key.isprintable() and 0 < len(key) < 80


def _fitting_jpeg(exif: bytes) -> bytes:
    if len(exif) <= _JPEG_EXIF_BYTES:
        return exif
    logger.warning("a JPEG holds at most %d bytes of EXIF; the infotext is left out", _JPEG_EXIF_BYTES)
    return b""


def _with_pillow(image: Image.Image, name: str, exif: bytes, options: dict[str, int]) -> bytes:
    keeps_alpha = name in ("WEBP", "AVIF") and ("A" in image.mode or "transparency" in image.info)
    wanted = "RGBA" if keeps_alpha else "RGB"
    picture = image if image.mode in (wanted, "L") else image.convert(wanted)
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **({"exif": exif} if exif else {}), **options)
    return buffer.getvalue()
