"""Hypernetworks as legacy modules list them."""

from pathlib import Path
from typing import Any

from modules.compat.host import host


def reload_hypernetworks() -> None:
    """Look for hypernetworks again; every job looks by itself."""


def hypernetworks() -> dict[str, str]:
    """Return the hypernetworks by name."""
    shelf = host().workshop().shelf()
    return {name: str(path) for name, path in shelf.hypernetworks().items()}


def list_hypernetworks(path: str) -> dict[str, str]:
    """Return the hypernetworks of a folder by name."""
    from modules.adapters.hypernetwork.files import hypernetwork_files

    return {name: str(file) for name, file in hypernetwork_files([Path(path)]).items()}


class Hypernetwork:
    """A hypernetwork as extensions read it from its file.

    Args:
        name: what it is called.
        enable_sizes: nobody reads them; its file says them.
    """

    def __init__(self, name: str | None = None, enable_sizes: Any = None) -> None:
        self.name, self.filename = name, ""
        self.layers: dict[int, Any] = {}

    def load(self, filename: str) -> None:
        """Read a file.

        Raises:
            ModelError: it is no hypernetwork.
        """
        from modules.adapters.hypernetwork.read import read_hypernetwork

        found = read_hypernetwork(Path(filename))
        self.layers, self.name, self.filename = dict(found.nets), found.name, filename


def apply_hypernetworks(hypernetworks: Any, context: Any, layer: Any = None) -> tuple[Any, Any]:
    """Return what keys and values are made of; the layers of a network have the hypernetworks of a job by themselves."""
    return context, context
