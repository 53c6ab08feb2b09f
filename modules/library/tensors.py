"""Weights of a model file, one tensor at a time, mapped instead of read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.domain.errors import BrokenFile
from modules.library.header import Header, TensorInfo, is_pickled, read_header
from modules.library.outline import flatten
from modules.library.unpickle import load_pickle

if TYPE_CHECKING:
    from torch import Tensor


class Tensors:
    """An open model file. Valid inside its `with`; tensors taken from it stay valid afterwards."""

    def __init__(self, header: Header, get: Any) -> None:
        self.header = header
        self._get = get

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, in the order of the file."""
        return tuple(self.header.tensors)

    def get(self, name: str) -> "Tensor":
        """Return one tensor on the CPU in its stored dtype; do not write to it.

        Raises:
            KeyError: there is no such tensor.
            BrokenFile: its bytes cannot be read.
        """
        if name not in self.header.tensors:
            raise KeyError(name)
        return self._get(name)

    def stored(self, name: str) -> "tuple[Tensor, Tensor | None]":
        """Return a tensor as it is stored, and what its 8-bit values are to be multiplied by, None for nothing."""
        return self.get(name), None


@contextmanager
def open_tensors(path: Path, *, allow_unsafe: bool = False) -> Iterator[Tensors]:
    """Open a safetensors or pickled file.

    Safetensors and zipped pickles are mapped, so memory holds what the caller keeps plus the tensor in
    hand. The pickle format from before torch 1.6 cannot be mapped and is read whole.

    Args:
        path: the file.
        allow_unsafe: let a pickle run the code it asks for (`--disable-safe-unpickle`).

    Raises:
        BrokenFile: truncated, malformed or of another type.
        UnsafePickle: it asks for code and `allow_unsafe` is off.
    """
    if is_pickled(path):
        yield _open_pickled(path, allow_unsafe)
        return
    from safetensors import SafetensorError, safe_open

    header = read_header(path)
    try:
        file = safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise BrokenFile(path, f"cannot be opened: {error}") from error

    def get(name: str) -> "Tensor":
        try:
            return file.get_tensor(name)
        except (SafetensorError, OSError, AttributeError) as error:
            raise BrokenFile(path, f"tensor {name[:120]!a} cannot be read: {error}") from error

    with file:
        yield Tensors(header, get)


def _open_pickled(path: Path, allow_unsafe: bool) -> Tensors:
    import torch

    contents = load_pickle(path, allow_unsafe=allow_unsafe)
    loaded: Mapping[str, Tensor] = flatten(contents, lambda value: isinstance(value, torch.Tensor))
    if allow_unsafe:
        header = Header(path, {name: TensorInfo(tuple(t.shape), _code(t.dtype)) for name, t in loaded.items()}, {})
    else:
        header = read_header(path)
    return Tensors(header, lambda name: loaded[name].detach())


def _code(dtype: Any) -> str:
    from modules.library.allowlist import TORCH_DTYPES

    return TORCH_DTYPES.get(str(dtype).removeprefix("torch."), str(dtype))
