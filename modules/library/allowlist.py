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


class Walk:
    """One pass over the opcodes of one pickle. Iterating yields the globals; `end` is where it stopped."""

    def __init__(self, path: Path, where: str, data: bytes, start: int = 0) -> None:
        self._path, self._where = path, where
        self._stream = io.BytesIO(data)
        self._stream.seek(start)
        self._memo: dict[int, str | None] = {}
        self._recent: list[str | None] = []
        self.end = start
        """Position after the STOP opcode, once the walk is done."""

    def __iter__(self) -> Iterator[str]:
        try:
            for count, (opcode, arg, _) in enumerate(pickletools.genops(self._stream)):
                if count > MAX_OPCODES:
                    raise BrokenFile(self._path, f"{self._where} is longer than any model's; it was not loaded")
                name = self._step(opcode.name, arg, count)
                if name is not None:
                    yield name
        except (ValueError, LookupError, OverflowError, MemoryError) as error:
            raise BrokenFile(self._path, f"{self._where} is not a complete pickle; download it again") from error
        self.end = self._stream.tell()

    def _step(self, op: str, arg: object, count: int) -> str | None:
        """Account for one opcode; `_recent` holds the strings known to lie on top of the stack, `None` for others."""
        if op in ("GLOBAL", "INST"):
            module, _, name = str(arg).partition(" ")
            if op == "INST":
                raise self._unsafe(f"builds an instance of {modern_name(module, name)[:200]!a}")
            self._recent = [None]
            return modern_name(module, name)
        if op == "STACK_GLOBAL":
            return self._stack_global()
        if op in _REFUSED:
            raise self._unsafe(f"uses the opcode {op}, which hides what it asks for,")
        if op in _STRINGS:
            self._recent.append(str(arg))
        elif op in _GETS:
            self._recent.append(self._memo.get(int(str(arg))))
        elif op in _PUTS or op == "MEMOIZE":
            index = len(self._memo) if op == "MEMOIZE" else int(str(arg))
            if index > count:
                raise BrokenFile(self._path, f"{self._where} numbers its parts beyond their count; it was not loaded")
            self._memo[index] = self._recent[-1] if self._recent else None
        elif op not in ("PROTO", "FRAME"):
            self._recent = []
        return None

    def _stack_global(self) -> str:
        top = self._recent[-2:]
        self._recent = [None]
        if len(top) < 2 or top[0] is None or top[1] is None:
            raise self._unsafe("asks for a global whose name is put together while loading")
        return modern_name(top[0], top[1])

    def _unsafe(self, what: str) -> UnsafePickle:
        return UnsafePickle(self._path, f"{self._where} {what} and was not loaded; {_ADVICE}")
