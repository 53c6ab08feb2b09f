"""Hypernetworks as legacy modules list them."""

from modules.compat.host import host


def reload_hypernetworks() -> None:
    """Look for hypernetworks again; every job looks by itself."""


def hypernetworks() -> dict[str, str]:
    """Return the hypernetworks by name."""
    shelf = host().workshop().shelf()
    return {name: str(path) for name, path in shelf.hypernetworks().items()}
