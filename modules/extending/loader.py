"""Run what extensions bring, one piece after another; one that fails or hangs is named and the others go on."""

import importlib.util
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from modules.extending.discover import Extension
from modules.extending.registry import Loaded, Registry

logger = logging.getLogger(__name__)

FILE = "webui_extension.py"
"""Holds `register(registry)`."""
LIMIT_S = 60.0
"""How long one piece may take to load."""
_SLOW_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One piece that is loaded: a file of an extension."""

    extension: Extension
    name: str
    """For messages."""
    load: Callable[[Registry], None]
    limit_s: float | None = None
    """How long it may take; None for as long as any."""


class Loader(Protocol):
    """One way in which extensions are written."""

    def units(self, extensions: Sequence[Extension]) -> Iterable[Unit]:
        """Return what there is to load of the extensions that run, in order."""
        ...


class NativeLoader:
    """Loads `webui_extension.py`, whose `register` is given the registry.

    The folder is a package while that happens, so the file may say `from .other import thing`.
    """

    def units(self, extensions: Sequence[Extension]) -> Iterable[Unit]:
        """Return one unit for each extension that has the file."""
        return [Unit(extension=one, name=FILE, load=_register) for one in extensions if (one.folder / FILE).is_file()]


def _register(registry: Registry) -> None:
    module = import_package(registry.extension)
    register = getattr(module, "register", None)
    if not callable(register):
        raise AttributeError(f"{FILE} has no function register(registry)")
    register(registry)


def import_package(extension: Extension) -> ModuleType:
    """Import the native file of an extension, as a package named after the folder."""
    name = module_name(extension)
    spec = importlib.util.spec_from_file_location(
        name, extension.folder / FILE, submodule_search_locations=[str(extension.folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{FILE} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def module_name(extension: Extension) -> str:
    """Return the name under which an extension is imported."""
    return "webui_extension_" + re.sub(r"\W", "_", extension.name)


def load_all(
    extensions: Sequence[Extension],
    loaders: Sequence[Loader],
    *,
    own: Sequence[Extension] = (),
    limit_s: float = LIMIT_S,
) -> Loaded:
    """Load all extensions that run.

    Args:
        extensions: as `discover` lists them.
        loaders: asked one after the other.
        own: parts of the program that are written like extensions; they come first, and no loader but the native one
            hears of them.
        limit_s: how long one piece may take; what is late goes on in a thread of its own and is no longer listened to.
    """
    running = [one for one in extensions if one.active]
    registries = {one.folder: Registry(one) for one in (*own, *running)}
    for unit in NativeLoader().units(own):
        _load(unit, registries[unit.extension.folder], limit_s)
    for loader in loaders:
        for unit in loader.units(running):
            registry = registries.setdefault(unit.extension.folder, Registry(unit.extension))
            _load(unit, registry, limit_s)
    return Loaded(extensions=tuple(extensions), registries=tuple(registries.values()))


def _load(unit: Unit, registry: Registry, usual_limit_s: float) -> None:
    """Run one unit; what it added counts only when it came to its end."""
    limit_s = usual_limit_s if unit.limit_s is None else unit.limit_s
    began, own = time.monotonic(), Registry(registry.extension)
    own.handlers.extend(registry.handlers)
    fault: list[BaseException] = []

    def run() -> None:
        try:
            unit.load(own)
        except BaseException as error:  # noqa: BLE001 - foreign code; SystemExit must not end the program either
            fault.append(error)

    thread = threading.Thread(target=run, name=f"loading {unit.extension.name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    where = f"{unit.extension.name}: {unit.name}"
    if thread.is_alive():
        registry.faults.append(f"{unit.name} did not load within {limit_s:g} s.")
        logger.error("%s did not load within %g s; it is left out", where, limit_s)
    elif fault:
        registry.faults.append(f"{unit.name} could not be loaded: {type(fault[0]).__name__}: {fault[0]}"[:2000])
        logger.error("%s could not be loaded", where, exc_info=fault[0])
    else:
        registry.take(own)
        if time.monotonic() - began > _SLOW_S:
            logger.info("%s took %.1f s to load", where, time.monotonic() - began)
