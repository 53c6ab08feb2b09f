"""Which globals a pickled model may name, and the walk over opcodes that finds every one of them.

Nothing here runs a pickle. The walk sees each opcode before any unpickler does and refuses what it
cannot fully account for, so a global cannot hide behind the memo, the extension registry or a name
that is put together while loading.
"""

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from pathlib import Path

from modules.domain.errors import BrokenFile, UnsafePickle

MAX_OPCODES = 10_000_000
"""A full training checkpoint of SDXL with optimizer has about a million."""

MAX_NESTING = 100
"""Tuples inside tuples. Hashing them recurses in C without a limit, which would end the process."""

STORAGE_DTYPES = {
    "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "UntypedStorage": "U8",
}  # fmt: skip
"""Classes of torch that stand for a storage, with the dtype (safetensors code) of its elements."""

TORCH_DTYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
"""Attributes of torch that are dtypes, with their safetensors codes."""

TENSOR_GLOBALS = frozenset(
    {
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter",
        "torch.nn.parameter.Parameter",
        "torch.Size",
        "torch.device",
        "torch.storage.UntypedStorage",
        "collections.OrderedDict",
        "collections.Counter",
        "builtins.set",
        "builtins.complex",
        "_codecs.encode",
        *(f"torch.{name}" for name in STORAGE_DTYPES),
        *(f"torch.{name}" for name in TORCH_DTYPES),
    }
)
"""Globals that torch itself builds when it loads weights only."""

DICTIONARY_GLOBALS = frozenset(
    {
        "collections.defaultdict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
    }
)
"""Dictionaries that are read as plain ones."""

INERT_GLOBALS = frozenset(
    {
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "torch.nn.modules.container.ParameterDict",
        "torch.nn.modules.container.ParameterList",
        "typing.Any",
        *(
            f"builtins.{name}"
            for name in ("list", "dict", "tuple", "frozenset", "int", "float", "bool", "str", "bytes")
        ),
    }
)
"""Globals that real training checkpoints name beside their weights. A stand-in takes their place."""

INERT_PACKAGES = ("pytorch_lightning", "lightning", "lightning_fabric", "omegaconf")
"""Trainers whose bookkeeping (callbacks, hyper-parameters) lies in old `.ckpt` files. Never imported."""

# Text protocols build instances by name, extension codes hide the name, and neither is written by torch.save.
_REFUSED = frozenset({"OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"})
_STRINGS = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
_NESTING = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_ADVICE = "get a .safetensors version of it, or start with --disable-safe-unpickle if you trust its author"


def modern_name(module: str, name: str) -> str:
    """Join module and name, translated from Python 2 the way unpicklers do."""
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def is_stand_in(name: str) -> bool:
    """Tell whether a global is replaced by an object that does nothing."""
    return name in INERT_GLOBALS or (name.partition(".")[0] in INERT_PACKAGES and name not in DICTIONARY_GLOBALS)


def is_allowed(name: str) -> bool:
    """Tell whether a model file may name this global."""
    return name in TENSOR_GLOBALS or name in DICTIONARY_GLOBALS or is_stand_in(name)


def check_globals(path: Path, where: str, globals_: Iterator[str]) -> frozenset[str]:
    """Consume the walk over one pickle and return the globals it names.

    Raises:
        UnsafePickle: at the first one that is not allowed.
    """
    seen = set()
    for name in globals_:
        if not is_allowed(name):
            raise UnsafePickle(path, f"{where} asks for {name[:200]!a} and was not loaded; {_ADVICE}")
        seen.add(name)
    return frozenset(seen)


def _effect(op: pickletools.OpcodeInfo) -> tuple[int, bool, int]:
    """What an opcode does to the stack: values it pops, whether everything above a mark too, values it pushes."""
    marked = pickletools.markobject in op.stack_before
    below = op.stack_before.index(pickletools.markobject) if marked else len(op.stack_before)
    return below, marked, len(op.stack_after)


_EFFECTS = {op.name: _effect(op) for op in pickletools.opcodes}

_Value = tuple[str | None, int]
"""What is known of a value on the stack: its text if it is one, and how deeply tuples are nested in it."""
_MARK: _Value = ("", -1)
_UNKNOWN: _Value = (None, 0)


class Walk:
    """One pass over the opcodes of one pickle, with a stack that holds only what must be known of each value.

    Iterating yields the globals; `end` is where the pickle stopped.
    """

    def __init__(self, path: Path, where: str, data: bytes, start: int = 0) -> None:
        self._path, self._where = path, where
        self._stream = io.BytesIO(data)
        self._stream.seek(start)
        self._memo: dict[int, _Value] = {}
        self._stack: list[_Value] = []
        self.end = start
        """Position after the STOP opcode, once the walk is done."""

    def __iter__(self) -> Iterator[str]:
        try:
            for count, (opcode, arg, _) in enumerate(pickletools.genops(self._stream)):
                if count > MAX_OPCODES:
                    raise self._broken("is longer than any model's")
                name = self._step(opcode.name, arg, count)
                if name is not None:
                    yield name
        except (ValueError, LookupError, OverflowError, MemoryError) as error:
            raise BrokenFile(self._path, f"{self._where} is not a complete pickle; download it again") from error
        self.end = self._stream.tell()

    def _step(self, op: str, arg: object, count: int) -> str | None:
        """Account for one opcode; returns the global that it asks for, if any."""
        if op in _REFUSED:
            raise self._unsafe(f"uses the opcode {op}, which hides what it asks for,")
        if op in _PUTS or op == "MEMOIZE":
            self._remember(len(self._memo) if op == "MEMOIZE" else int(str(arg)), count)
        elif op == "MARK":
            self._stack.append(_MARK)
        elif op in _GETS:
            self._stack.append(self._memo[int(str(arg))])
        elif op in _STRINGS:
            self._stack.append((str(arg), 0))
        elif op == "INST":
            raise self._unsafe(f"builds an instance of {modern_name(*_split(arg))[:200]!a}")
        elif op == "GLOBAL":
            self._stack.append(_UNKNOWN)
            return modern_name(*_split(arg))
        elif op == "STACK_GLOBAL":
            return self._stack_global()
        else:
            self._apply(op)
        return None

    def _apply(self, op: str) -> None:
        """Replace what an opcode pops by what it pushes; the result is as deep as the deepest part."""
        below, marked, pushes = _EFFECTS[op]
        popped: list[_Value] = []
        while marked and (value := self._stack.pop()) is not _MARK:
            popped.append(value)
        popped.extend(self._stack.pop() for _ in range(below))
        depth = max((depth for _, depth in popped), default=0) + (op in _NESTING)
        if depth > MAX_NESTING:
            raise self._broken("is nested too deeply")
        self._stack.extend([(None, max(depth, 0))] * pushes)

    def _remember(self, index: int, count: int) -> None:
        # An unpickler sets aside room for all numbers below, so a large one alone would fill the memory.
        if index > count:
            raise self._broken("numbers its parts beyond their count")
        self._memo[index] = self._stack[-1]

    def _stack_global(self) -> str:
        (name, _), (module, _) = self._stack.pop(), self._stack.pop()
        self._stack.append(_UNKNOWN)
        if name is None or module is None:
            raise self._unsafe("asks for a global whose name is put together while loading")
        return modern_name(module, name)

    def _broken(self, what: str) -> BrokenFile:
        return BrokenFile(self._path, f"{self._where} {what}; it was not loaded")

    def _unsafe(self, what: str) -> UnsafePickle:
        return UnsafePickle(self._path, f"{self._where} {what} and was not loaded; {_ADVICE}")


def _split(arg: object) -> tuple[str, str]:
    module, _, name = str(arg).partition(" ")
    return module, name
