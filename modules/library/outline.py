"""The contents of a pickled model with shapes and dtypes in place of weights.

The unpickler here knows no real class: every global becomes a stand-in that only remembers what it was
given. So an outline can be made of any file whose opcodes passed the walk, without torch.
"""

import io
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.domain.errors import BrokenFile
from modules.library.allowlist import DICTIONARY_GLOBALS, STORAGE_DTYPES, TORCH_DTYPES, modern_name
from modules.library.torchfile import TorchFile

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PickleError,
    struct.error,
)
"""What an unpickler raises on a file that is damaged or made up."""

MAX_DEPTH = 32

_ITEM_BYTES = {"F64": 8, "I64": 8, "C64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that was not read; the dtype is a safetensors code."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: str
    num_elements: int


class _Kind:
    """A class of storages or a dtype. Refuses to be changed by the pickle that names it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a dtype has no state")


class _Call:
    """A function by which torch builds tensors. Refuses to be changed by the pickle that names it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function has no state")


class StandIn:
    """Takes the place of an object that is not needed; keeps the state it was given and does nothing."""

    state: Any = None

    def __new__(cls, *_: Any) -> "StandIn":
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


def stand_in(name: str) -> type[StandIn]:
    """A class of its own for each global, so that they stay different as dictionary keys."""
    return type(name.rpartition(".")[2] or "StandIn", (StandIn,), {"stands_for": name})


def make_dictionary(*_: Any) -> OrderedDict[Any, Any]:
    """An empty dictionary in place of one with a default factory."""
    return OrderedDict()


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(values)
    if len(sizes) > 64 or not all(type(v) is int and 0 <= v < 1 << 63 for v in sizes):
        raise pickle.UnpicklingError("a shape is not a list of sizes")
    return sizes


def _tensor(storage: Any, offset: int, size: Any, stride: Any, dtype: str | None = None) -> StoredTensor:
    shape, steps = _sizes(size), _sizes(stride)
    if not isinstance(storage, _Storage) or len(shape) != len(steps) or type(offset) is not int or offset < 0:
        raise pickle.UnpicklingError("a tensor does not describe its storage")
    span = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + 1 if math.prod(shape) else 0
    unit = _ITEM_BYTES.get(dtype, 1) if dtype else 1
    if span * unit > storage.num_elements:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return StoredTensor(shape, dtype or storage.dtype)


def _tensor_of_dtype(storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> StoredTensor:
    """Arguments as in torch: requires_grad, backward hooks, dtype, metadata follow. The storage counts bytes."""
    return _tensor(storage, offset, size, stride, rest[2].dtype)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": lambda storage, offset, size, stride, *_: _tensor(storage, offset, size, stride),
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.nn.parameter.Parameter": lambda data, *_: data,
    "torch.Size": lambda values=(): _sizes(values),
}


class _OutlineUnpickler(pickle.Unpickler):
    def __init__(self, file: TorchFile) -> None:
        super().__init__(io.BytesIO(file.contents), encoding="utf-8")
        self._storages = file.storages

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = modern_name(module_name, global_name)
        if name in _FUNCTIONS:
            return _Call(_FUNCTIONS[name])
        if name in DICTIONARY_GLOBALS:
            return OrderedDict if name.endswith(".AttributeDict") else _Call(make_dictionary)
        if name in ("collections.OrderedDict", "collections.Counter"):
            return OrderedDict
        if name == "builtins.set":
            return set
        package, _, attribute = name.rpartition(".")
        if package in ("torch", "torch.storage"):
            dtype = STORAGE_DTYPES.get(attribute) or TORCH_DTYPES.get(attribute)
            if dtype:
                return _Kind(dtype)
        return stand_in(name)

    def persistent_load(self, pid: Any, /) -> _Storage:
        tag, kind, key, _, num_elements, *_ = pid
        if tag != "storage" or not isinstance(kind, _Kind) or type(num_elements) is not int or num_elements < 0:
            raise pickle.UnpicklingError("a storage is not described as one")
        if self._storages is not None:
            stored = self._storages.get(str(key), 0)
            if num_elements * _ITEM_BYTES.get(kind.dtype, 1) > stored:
                raise pickle.UnpicklingError(f"the storage {str(key)[:40]!a} is missing or cut off")
        return _Storage(kind.dtype, num_elements)


def read_outline(path: Path, file: TorchFile) -> Any:
    """Unpickle the contents with stand-ins for everything.

    Returns:
        What was saved: dictionaries, lists and tuples with `StoredTensor` and `StandIn` inside.

    Raises:
        BrokenFile: the contents do not fit together.
    """
    try:
        return _OutlineUnpickler(file).load()
    except FAULTS as error:
        raise BrokenFile(
            path, f"its contents do not fit together ({str(error)[:120] or type(error).__name__})"
        ) from error


def flatten(contents: Any, is_leaf: Callable[[Any], bool]) -> dict[str, Any]:
    """Name every tensor of a pickled file by the keys that lead to it, joined by dots.

    When there is a `state_dict`, it alone counts and its own keys are the names: optimizer states and
    averages that a trainer stored beside it are not the model.
    """
    if isinstance(contents, Mapping) and isinstance(contents.get("state_dict"), Mapping):
        contents = contents["state_dict"]
    return dict(_leaves(contents, is_leaf))


def _leaves(contents: Any, is_leaf: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Walk depth first without recursion; a container that holds itself is entered once."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), contents)]
    entered: set[int] = set()
    while todo:
        keys, value = todo.pop()
        if is_leaf(value):
            yield ".".join(keys), value
            continue
        items = _items(value)
        if items and id(value) not in entered and len(keys) < MAX_DEPTH:
            entered.add(id(value))
            todo.extend(((*keys, str(key)), item) for key, item in reversed(items))


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, StandIn):
        value = value.state.get("_parameters") if isinstance(value.state, Mapping) else None
    if isinstance(value, Mapping):
        return [(key, item) for key, item in value.items() if isinstance(key, str | int)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    return []
