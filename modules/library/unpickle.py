"""Read pickled model files (`.ckpt .pt .pth .bin`) without letting them run code.

Three locks, one behind the other: our own walk over every opcode of every pickle in the file, an outline
made of stand-ins that must fit together, then torch's unpickler that loads weights only. A file that fails one is refused; there is no second try.
"""

import logging
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from modules.domain.errors import BrokenFile
from modules.library.allowlist import DICTIONARY_GLOBALS, is_stand_in
from modules.library.outline import FAULTS, make_dictionary, read_outline, stand_in
from modules.library.torchfile import TorchFile, read_torch_file

logger = logging.getLogger(__name__)

_loading = threading.Lock()
"""torch keeps its list of permitted globals per process, not per load."""


def check_pickle(path: Path) -> None:
    """Make sure that a pickled model asks for nothing but tensors and plain containers. Runs nothing.

    Raises:
        UnsafePickle: names the first global that is not allowed.
        BrokenFile: not a file written by `torch.save`, or not intact.
    """
    read_torch_file(path)


def load_pickle(path: Path, *, allow_unsafe: bool = False) -> Any:
    """Load a pickled model on the CPU; weights are mapped from the file where its format allows.

    Args:
        path: the file.
        allow_unsafe: skip every check and let the file run what it asks for.

    Raises:
        UnsafePickle: the file asks for code.
        BrokenFile: not a file written by `torch.save`, or not intact.
    """
    import torch

    try:
        if allow_unsafe:
            logger.warning("%s: loaded without any check, because --disable-safe-unpickle is on", path.name)
            return torch.load(path, map_location="cpu", weights_only=False)
        file = read_torch_file(path)
        read_outline(path, file)
        with _loading, torch.serialization.safe_globals(_stand_ins(file)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=file.storages is not None)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    except FAULTS as error:
        raise BrokenFile(path, f"cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The cause in one line; torch puts it behind advice to load without a check."""
    _, _, cause = str(error).rpartition("WeightsUnpickler error:")
    return next((line.strip()[:160] for line in cause.splitlines() if line.strip()), type(error).__name__)


def _stand_ins(file: TorchFile) -> list[Any]:
    """What torch may build under the names that it does not know itself."""
    result: list[Any] = [(stand_in(name), name) for name in file.globals if is_stand_in(name)]
    for name in file.globals & DICTIONARY_GLOBALS:
        result.append((OrderedDict if name.endswith(".AttributeDict") else make_dictionary, name))
    return result
