"""Embeddings inside of pictures, as A1111 saved them while training: as text of a PNG, and in the lower bits of pixels.

The pixels left of the first and right of the last dark column hold the lower and the upper four bits of each byte,
mixed with a fixed row of pseudo-random numbers; together they are packed JSON.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from modules.domain.errors import BrokenFile, InvalidRequest
from modules.imaging.open import DECODER_ERRORS, open_header

CHUNK = "sd-ti-embedding"
MAX_JSON_BYTES = 64 << 20

Values = np.ndarray[Any, np.dtype[np.uint8]]


def vectors_in_picture(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by name, as in a file of the same embedding, and the facts that lie beside them.

    Raises:
        BrokenFile: no picture, or one without an embedding in it.
    """
    try:
        image = open_header(path.read_bytes())
        text = image.info.get(CHUNK)
        packed = _decoded(text) if isinstance(text, str) else _hidden(image)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    except (InvalidRequest, *DECODER_ERRORS) as error:
        raise BrokenFile(path, f"holds no embedding that can be read: {str(error)[:200]}") from error
    document = _document(packed)
    if document is None:
        raise BrokenFile(path, "is a picture without an embedding in it")
    return document


def _document(packed: bytes | None) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    if packed is None:
        return None
    try:
        document = json.loads(packed)
        parameters = document["string_to_param"]
        stored = {f"string_to_param.{name}": torch.tensor(_listed(value)) for name, value in parameters.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, RuntimeError):
        return None
    facts = {
        key: str(value) for key, value in document.items() if isinstance(key, str) and isinstance(value, str | int)
    }
    return stored, facts


def _listed(value: Mapping[str, Any]) -> Any:
    return value["TORCHTENSOR"]


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None


def _hidden(image: Image.Image) -> bytes | None:
    pixels = _low(_inside(np.asarray(image.convert("RGB"), dtype=np.uint8)))
    if not pixels.size:
        return None
    dark = np.flatnonzero(pixels.sum(axis=(0, 2)) == 0)
    if len(dark) < 2:
        return None
    lower, upper = _mixed(pixels[:, : dark[0]]), _mixed(pixels[:, dark[-1] + 1 :])
    if lower.shape != upper.shape:
        return None
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(((upper << 4) | lower).tobytes(), MAX_JSON_BYTES)
    except zlib.error:
        return None


def _inside(pixels: Values) -> Values:
    """Cut black borders off."""
    lit = pixels.any(axis=2)
    rows, columns = np.flatnonzero(lit.sum(axis=1)), np.flatnonzero(lit.sum(axis=0))
    if not len(rows):
        return pixels[:0]
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _mixed(block: Values) -> Values:
    """Mix four bits per value with the fixed row of numbers; done twice it changes nothing."""
    return block ^ _low(_row(block.size)).reshape(block.shape)


def _low(values: Values) -> Values:
    """Keep the lower four bits."""
    return np.bitwise_and(values, np.uint8(0x0F), dtype=np.uint8)


def _row(count: int) -> Values:
    """Return the first numbers of the linear congruential generator of Numerical Recipes, modulo 255."""
    numbers, state = np.empty(count, dtype=np.uint8), 0
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        numbers[i] = state % 255
    return numbers
