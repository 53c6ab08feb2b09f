"""Safetensors files written piece by piece: the header first, then one tensor after another."""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modules.domain.errors import StorageFault
from modules.library.allowlist import TORCH_DTYPES

CODES: Mapping[torch.dtype, str] = {getattr(torch, name): code for name, code in TORCH_DTYPES.items()}
DTYPES: Mapping[str, torch.dtype] = {code: dtype for dtype, code in CODES.items()}
PIECE_ELEMENTS = 1 << 18
"""Elements that are worked on at a time, 1 MiB in float32."""
SPARE_BYTES = 64 << 20
"""Left free on the disk beside a new file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor of a file to be written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: Callable[[], Iterable[Tensor]]
    """Makes its values in row-major order, as tensors of any shape in `dtype`."""

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def in_file_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sort entries so that each begins at a multiple of its element size: large elements first."""
    return sorted(entries, key=lambda entry: -entry.dtype.itemsize)


def total_bytes(entries: Sequence[Entry]) -> int:
    """Return how many bytes the values take."""
    return sum(entry.num_bytes for entry in entries)


def header_bytes(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    """Return what a file begins with.

    Source: the safetensors format description, huggingface/safetensors README.
    """
    document: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for entry in entries:
        end = at + entry.num_bytes
        document[entry.name] = {
            "dtype": CODES[entry.dtype], "shape": list(entry.shape), "data_offsets": [at, end],
        }  # fmt: skip
        at = end
    raw = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def file_pieces(
    entries: Sequence[Entry], metadata: Mapping[str, str], tell: Callable[[int], None] = lambda _bytes: None
) -> Iterator[bytes | memoryview]:
    """Yield the content of a file.

    Args:
        entries: in the order of the file.
        metadata: of the file.
        tell: called with the number of bytes of values made so far; may raise to end it.
    """
    yield header_bytes(entries, metadata)
    done = 0
    for entry in entries:
        before = done
        for piece in entry.pieces():
            raw = raw_bytes(piece)
            done += len(raw)
            tell(done)
            yield raw
        if done - before != entry.num_bytes:
            raise RuntimeError(f"{entry.name} has {done - before} bytes instead of {entry.num_bytes}")


def raw_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor as files have them; shares its memory."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def flat_pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Cut a tensor of any shape into flat pieces that are worked on one at a time."""
    yield from tensor.reshape(-1).split(PIECE_ELEMENTS)


def check_room(folder: Path, num_bytes: int) -> None:
    """Refuse to begin a file that the disk has no room for.

    Raises:
        StorageFault: says how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes + SPARE_BYTES:
        raise StorageFault(
            f"{folder}: the new file takes {num_bytes / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; free some space"
        )
