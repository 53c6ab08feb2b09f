"""Modules some of whose names are worked out when they are asked for."""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Get = Callable[[], Any]
Set = Callable[[Any], None]


def compute(module: str, names: Mapping[str, Get | tuple[Get, Set]]) -> None:
    """Give a module names that are worked out anew each time they are read.

    An assignment goes to the setter that comes with a name. Without one the assigned value hides what would be worked
    out, until it is deleted: extensions replace such names and expect everyone to see it.

    Args:
        module: its full name.
        names: name -> getter, or getter and setter.
    """
    properties = {name: _property(name, get) for name, get in names.items()}
    sys.modules[module].__class__ = type("Facade", (ModuleType,), {**properties, "__slots__": ()})


def same_module(name: str, other: str) -> None:
    """Let one name stand for the module of another one: what is assigned to one of them is seen on both.

    Args:
        name: of the module that is being imported.
        other: full name of the module that it becomes.
    """
    sys.modules[name] = importlib.import_module(other)


def other_modules(*names: str) -> dict[str, Get]:
    """Return getters of legacy modules that another one has as attributes.

    Args:
        names: without the leading `modules.`.
    """
    return {name: (lambda name=name: importlib.import_module(f"modules.{name}")) for name in names}


def _property(name: str, given: Get | tuple[Get, Set]) -> property:
    get, put = given if isinstance(given, tuple) else (given, None)
    hidden = f"_assigned_{name}"

    def read(module: ModuleType) -> Any:
        return vars(module)[hidden] if hidden in vars(module) else get()

    def write(module: ModuleType, value: Any) -> None:
        if put is None:
            vars(module)[hidden] = value
        else:
            put(value)

    def remove(module: ModuleType) -> None:
        vars(module).pop(hidden, None)

    return property(read, write, remove)
