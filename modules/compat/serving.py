"""Whether code of an extension runs on this thread, so that the idioms of older versions of gradio are understood."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PATCHED = "_serves_old_idioms"


class _Depth(threading.local):
    active = 0
    building = 0


_depth = _Depth()


@contextmanager
def serving() -> Iterator[None]:
    """Understand the idioms on this thread."""
    _depth.active += 1
    try:
        yield
    finally:
        _depth.active -= 1


def is_serving() -> bool:
    """Tell whether code of an extension runs on this thread."""
    return _depth.active > 0


@contextmanager
def telling() -> Iterator[None]:
    """While callbacks are told of a component, those that they make meanwhile are nobody's business."""
    _depth.building += 1
    try:
        yield
    finally:
        _depth.building -= 1


def is_telling() -> bool:
    """Tell whether callbacks are being told of a component."""
    return _depth.building > 0


def mark_patched(function: Any) -> None:
    """Note that a function is ours."""
    setattr(function, _PATCHED, True)


def was_patched(function: Any) -> bool:
    """Tell whether a function is ours."""
    return getattr(function, _PATCHED, False)
