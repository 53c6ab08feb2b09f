"""Pack tensors into a safetensors file whose bytes depend on nothing but what is in it."""

import hashlib
import json
import struct
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

_ALIGNMENT = 8


def packed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a file. The library itself writes metadata in random order."""
    header, data = _parts(tensors)
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + data


def data_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of what comes behind the header, which metadata do not change."""
    return hashlib.sha256(_parts(tensors)[1]).hexdigest()


def _parts(tensors: Mapping[str, Tensor]) -> tuple[dict[str, object], bytes]:
    whole = save(dict(tensors))
    (length,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]
