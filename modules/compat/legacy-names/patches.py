"""A1111's `modules.patches`."""

from collections import defaultdict
from typing import Any

originals: dict[object, dict[tuple[object, str], Any]] = defaultdict(dict)


def patch(key: object, obj: object, field: str, replacement: Any) -> Any:
    """Replace an attribute and remember what it was.

    Raises:
        RuntimeError: the same key replaced it already.
    """
    if (obj, field) in originals[key]:
        raise RuntimeError(f"patch for {field} is already applied")
    original = getattr(obj, field)
    originals[key][(obj, field)] = original
    setattr(obj, field, replacement)
    return original


def undo(key: object, obj: object, field: str) -> None:
    """Put an attribute back.

    Raises:
        RuntimeError: the key never replaced it.
    """
    if (obj, field) not in originals[key]:
        raise RuntimeError(f"there is no patch for {field} to undo")
    setattr(obj, field, originals[key].pop((obj, field)))


def original(key: object, obj: object, field: str) -> Any:
    """Return what an attribute was; None when the key never replaced it."""
    return originals[key].get((obj, field))
