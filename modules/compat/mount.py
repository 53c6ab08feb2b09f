"""Make A1111's module names importable, and take them away again."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import modules
from modules.compat.host import Host, bind, host, is_bound

FACADES = Path(__file__).parent / "legacy-names"
"""Becomes part of the package `modules`; real rooms come first."""
SIBLINGS = Path(__file__).parent / "top-names"
"""Holds names outside of `modules`: `launch`, `ldm`, `k_diffusion` ..."""
SCRIPTS = Path(__file__).parent / "script-names"
"""Holds script files of A1111's that extensions look for among those that were loaded."""
LATE = "__getattr__"
EXTENSIONS = "extensions"
"""A package of all extensions, under which some of them import their own modules."""


def mount(host: Host) -> None:
    """Bind a program and add the legacy names. Nothing of them exists before; a second call binds another program."""
    bind(host)
    if str(FACADES) not in modules.__path__:
        modules.__path__.append(str(FACADES))
        # A1111 had imported all of them before any extension, so `import modules` was enough to use them.
        setattr(modules, LATE, _late)
    if str(SIBLINGS) not in sys.path:
        # First, since these are views: another `k_diffusion` that is installed knows nothing of this program.
        sys.path.insert(0, str(SIBLINGS))
    # It need not lie beside the program, where Python would find it.
    package = ModuleType(EXTENSIONS)
    package.__path__ = [str(host.layout.extensions)]
    sys.modules[EXTENSIONS] = package


def unmount() -> None:
    """Undo `mount`: legacy names cannot be imported any more, and those that were are forgotten, with their users."""
    folders = [FACADES, SIBLINGS, SCRIPTS, *((one.folder for one in host().extensions) if is_bound() else ())]
    mine = host().layout.scripts if is_bound() else None
    bind(None)
    if str(FACADES) in modules.__path__:
        modules.__path__.remove(str(FACADES))
        delattr(modules, LATE)
    if str(SIBLINGS) in sys.path:
        sys.path.remove(str(SIBLINGS))
    told = sys.modules.get("modules.compat.networks_told")
    if told is not None:
        told.undress()
    for name in [one for one in sys.modules if one.partition(".")[0] == EXTENSIONS]:
        del sys.modules[name]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        of_owner = isinstance(file, str) and Path(file).parent == mine
        if isinstance(file, str) and (of_owner or any(Path(file).is_relative_to(folder) for folder in folders)):
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(last, None)


def _late(name: str) -> ModuleType:
    """Import a legacy module that is asked for as an attribute of the package.

    Raises:
        AttributeError: there is none of this name.
    """
    if not any((FACADES / file).exists() for file in (f"{name}.py", name)):
        raise AttributeError(f"module 'modules' has no attribute {name!r}")
    return importlib.import_module(f"modules.{name}")
