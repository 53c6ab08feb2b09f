"""Text hidden in the lowest bits of a picture, as Forge and NovelAI leave it for hosts that strip metadata.

The bits run column by column: a signature of fifteen characters, the number of bits that follow as 32 bits, the text.
In the alpha channel there is one bit per pixel, else three, in the order red, green, blue.
"""

import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.imaging.open import DECODER_ERRORS

_SIGNATURES = {
    "RGBA": {b"stealth_pnginfo": False, b"stealth_pngcomp": True},
    "RGB": {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True},
}
"""Mode -> signature -> whether the text is compressed."""
_SIGNATURE_BITS = 15 * 8
_HEADER_BITS = _SIGNATURE_BITS + 32
_MAX_TEXT_BYTES = 2**20
_GZIP = 16 + zlib.MAX_WBITS


def read_stealth(image: Image.Image) -> str | None:
    """Return the text hidden in a picture, or None."""
    try:
        image.load()
    except DECODER_ERRORS:
        return None
    for mode in ("RGBA", "RGB"):
        if image.mode == mode or (image.mode == "RGBA" and mode == "RGB"):
            text = _read(np.asarray(image), mode)
            if text is not None:
                return text
    return None


def _read(pixels: NDArray[np.uint8], mode: str) -> str | None:
    header = _bits(pixels, mode, 0, _HEADER_BITS)
    packed = np.packbits(header).tobytes()
    compressed = _SIGNATURES[mode].get(packed[:15])
    if compressed is None or len(packed) < 19:
        return None
    length = min(int.from_bytes(packed[15:19]), _MAX_TEXT_BYTES * 8)
    data = np.packbits(_bits(pixels, mode, _HEADER_BITS, _HEADER_BITS + length)).tobytes()
    try:
        raw = zlib.decompressobj(_GZIP).decompress(data, _MAX_TEXT_BYTES) if compressed else data
        return raw.decode("utf-8")
    except (zlib.error, UnicodeDecodeError):
        return None


def _bits(pixels: NDArray[np.uint8], mode: str, start: int, stop: int) -> NDArray[np.uint8]:
    """Return hidden bits `start` to `stop`; only the columns that hold them are touched."""
    per_pixel = 1 if mode == "RGBA" else 3
    per_column = pixels.shape[0] * per_pixel
    first, last = start // per_column, -(-stop // per_column)
    columns = pixels[:, first:last, 3:4] if mode == "RGBA" else pixels[:, first:last, :3]
    bits = (columns.transpose(1, 0, 2) & np.uint8(1)).reshape(-1)
    return bits[start - first * per_column : stop - first * per_column]
