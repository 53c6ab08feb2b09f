"""Keeps a torchvision that was built for another torch from taking transformers down with it.

Such a pair (a CPU torch beside a CUDA torchvision, most often) fails at `import torchvision`, because the module
describes operators that its compiled library could not register. Text encoders never call these operators.
"""

import importlib.machinery
import importlib.util
import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def ensure_torchvision_importable() -> None:
    """Make `import torchvision` succeed; call before transformers is imported. Cheap, and safe to repeat.

    Where torchvision is absent, already imported or fits the installed torch, nothing changes. Otherwise the
    operators it asks for are declared without an implementation, and one log line says how to repair the install.
    """
    if "torchvision" not in sys.modules:
        _declare_missing_operators()


@lru_cache(maxsize=1)
def _declare_missing_operators() -> Any:
    """Return the declarations, which live as long as this result does; None when none are needed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None
    reason = _load_compiled(Path(next(iter(spec.submodule_search_locations))))
    import torch

    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if not reason or not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        library.define(name + _BOXES)
    logger.warning(
        "torchvision's compiled operators do not fit torch %s (%s); models that need them will fail. "
        "Reinstall torch and torchvision together, from the same package index.",
        torch.__version__,
        reason,
    )
    return library


def _load_compiled(folder: Path) -> str:
    """Load torchvision's compiled library as torchvision itself does; return why that failed, or ""."""
    import torch

    details = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    spec = importlib.machinery.FileFinder(str(folder), details).find_spec("_C")
    if spec is None or spec.origin is None:
        return "it has no compiled library"
    try:
        with _dll_folder(folder):
            torch.ops.load_library(spec.origin)
    except OSError as error:
        return str(error.__cause__ or error)
    return ""


def _dll_folder(folder: Path) -> AbstractContextManager[Any]:
    """Let Windows find the libraries beside the compiled one."""
    return os.add_dll_directory(str(folder)) if sys.platform == "win32" else nullcontext()
