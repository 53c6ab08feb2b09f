"""What a model file holds, told from its first kilobytes: tensor names, shapes, dtypes and metadata."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import BrokenFile
from modules.library.outline import StoredTensor, flatten, read_outline
from modules.library.torchfile import read_torch_file

MAX_HEADER_BYTES = 100_000_000
MAX_METADATA_VALUE_BYTES = 1 << 20

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
        "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    }
)  # fmt: skip
"""Bits of one element, by safetensors code."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape and dtype of one stored tensor; the dtype is a safetensors code (`F16`, `BF16`, `I64` ...)."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors of a file without their values."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


def read_header(path: Path, *, allow_unsafe: bool = False) -> Header:
    """Read the header of a model file without reading its weights.

    A pickled file is outlined with stand-ins for all classes; its metadata are the plain texts and numbers
    that lie beside the weights. A name that ends in `.safetensors` is a promise: a pickle in it is refused.

    Args:
        path: the file.
        allow_unsafe: outline pickles that ask for code too. Even then none of it runs.

    Raises:
        BrokenFile: the file is truncated, malformed or of another type.
        UnsafePickle: a pickled file asks for code.
    """
    return read_pickled_header(path, allow_unsafe=allow_unsafe) if is_pickled(path) else read_safetensors_header(path)


def is_pickled(path: Path) -> bool:
    """Tell by name and first bytes whether a file must go through the pickle checks."""
    if path.suffix.lower() == ".safetensors":
        return False
    try:
        with path.open("rb") as file:
            prefix = file.read(9)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    return not (len(prefix) == 9 and prefix[8:] == b"{" and prefix[5:8] == bytes(3))


def read_pickled_header(path: Path, *, allow_unsafe: bool = False) -> Header:
    """Outline a file written by `torch.save`; names are the keys that lead to a tensor, joined by dots.

    Raises:
        BrokenFile: the file is truncated, malformed or of another type.
        UnsafePickle: it asks for code.
    """
    contents = read_outline(path, read_torch_file(path, check=not allow_unsafe))
    stored = flatten(contents, lambda value: isinstance(value, StoredTensor))
    tensors = {name: TensorInfo(tensor.shape, tensor.dtype) for name, tensor in stored.items()}
    return Header(path, MappingProxyType(tensors), MappingProxyType(_plain_values(contents)))


def _plain_values(contents: Any) -> dict[str, str]:
    if not isinstance(contents, Mapping):
        return {}
    plain = {k: v for k, v in contents.items() if _is_text(k) and isinstance(v, str | int | float) and k}
    return {key: _cut(value if isinstance(value, str) else repr(value)) for key, value in plain.items()}


def read_safetensors_header(path: Path) -> Header:
    """Read and check the header of a safetensors file.

    Everything the format promises is verified before anybody maps the file: lengths against the file
    size, offsets in range and without gaps or overlap, dtypes, and sizes against shapes.

    Raises:
        BrokenFile: a promise is not kept; the message says which.

    Source: the safetensors format description, huggingface/safetensors README.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = _header_length(path, file.read(8), size)
            raw = file.read(length)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    if len(raw) != length:
        raise BrokenFile(path, "is cut off inside its header; download it again")
    document = _parse(path, raw)
    metadata = _metadata(path, document.pop("__metadata__", None))
    infos, spans = {}, []
    for name, entry in document.items():
        infos[name], span = _tensor(path, name, entry)
        spans.append((*span, name))
    _check_spans(path, sorted(spans), size - 8 - length)
    return Header(path, MappingProxyType(infos), MappingProxyType(metadata))


def _header_length(path: Path, prefix: bytes, size: int) -> int:
    if len(prefix) < 8:
        raise BrokenFile(path, f"is only {len(prefix)} bytes long, not a safetensors file; download it again")
    pickled = prefix[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and any(prefix[2:])  # not a length
    if prefix.startswith(b"PK\x03\x04") or pickled:
        raise BrokenFile(path, "is a pickled file with a .safetensors name; rename it to .ckpt if you trust it")
    (length,) = struct.unpack("<Q", prefix)
    if prefix.lstrip()[:1] == b"<":
        raise BrokenFile(path, "is a web page, not a model; the download needs a login or a direct link")
    if length > MAX_HEADER_BYTES:
        raise BrokenFile(path, f"claims a header of {length} bytes, over the limit of {MAX_HEADER_BYTES}")
    if length > size - 8:
        raise BrokenFile(path, f"claims a header of {length} bytes but is {size} bytes long; download it again")
    return length


class _Malformed(ValueError):
    """JSON that is legal for a lenient reader and not for us."""


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(items)
    if len(result) != len(items):
        raise _Malformed("the same name twice")
    return result


def _no_constant(text: str) -> Any:
    raise _Malformed(f"the number {text}")


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except _Malformed as error:
        raise BrokenFile(path, f"its header holds {error}") from error
    except UnicodeDecodeError as error:
        raise BrokenFile(path, "its header is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise BrokenFile(path, "its header is not valid JSON") from error
    if not isinstance(document, dict):
        raise BrokenFile(path, "its header is not a JSON object")
    return document


def _is_text(value: object) -> bool:
    """A lone surrogate survives JSON but no later encoder."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _metadata(path: Path, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BrokenFile(path, "its __metadata__ is not a JSON object")
    for key, text in value.items():
        if not (_is_text(key) and _is_text(text)):
            raise BrokenFile(path, f"its metadata value {key[:80]!a} is not text")
    return {key: _cut(text) for key, text in value.items()}


def _cut(text: str) -> str:
    if len(text) * 4 <= MAX_METADATA_VALUE_BYTES:
        return text
    return text.encode("utf-8")[:MAX_METADATA_VALUE_BYTES].decode("utf-8", errors="ignore")


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _tensor(path: Path, name: str, entry: Any) -> tuple[TensorInfo, tuple[int, int]]:
    def broken(reason: str) -> BrokenFile:
        return BrokenFile(path, f"tensor {name[:120]!a} {reason}")

    if not _is_text(name):
        raise broken("has a name that is not text")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise broken("is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise broken(f"has the unknown dtype {str(dtype)[:40]!a}")
    if not isinstance(shape, list) or len(shape) > 64 or not all(map(_is_size, shape)):
        raise broken("has a shape that is not a list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise broken("has data_offsets that are not two positions")
    start, end = offsets
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if bits % 8 or end - start != bits // 8:
        raise broken(f"takes {end - start} bytes, but its shape and dtype need {bits / 8:g}")
    return TensorInfo(tuple(shape), dtype), (start, end)


def _check_spans(path: Path, spans: list[tuple[int, int, str]], data_bytes: int) -> None:
    """Spans, sorted by start, must tile the data part exactly."""
    if spans and spans[0][0] != 0:
        raise BrokenFile(path, f"has {spans[0][0]} unused bytes before tensor {spans[0][2][:120]!a}")
    for (_, end, name), (start, _, after) in pairwise(spans):
        if start != end:
            fault = "overlap" if start < end else "have a gap between them"
            raise BrokenFile(path, f"tensors {name[:120]!a} and {after[:120]!a} {fault}")
    end = spans[-1][1] if spans else 0
    if end > data_bytes:
        raise BrokenFile(
            path, f"is cut off: its tensors need {end} bytes and {data_bytes} are there; download it again"
        )
    if end < data_bytes:
        raise BrokenFile(path, f"has {data_bytes - end} bytes after its last tensor")
