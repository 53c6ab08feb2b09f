"""Keywords of gradio 3 and 4 -> those that this version's constructors and updates take."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from modules.compat.host import host

logger = logging.getLogger(__name__)

SOURCES = frozenset({"upload", "webcam", "microphone", "clipboard"})
FILE_TYPES: Mapping[str, str] = {"file": "filepath", "bytes": "binary", "binary": "binary"}
BUTTONS: Mapping[str, str] = {
    "show_copy_button": "copy", "show_download_button": "download", "show_share_button": "share",
    "show_fullscreen_button": "fullscreen",
}  # fmt: skip
"""Keyword that showed a small button -> its name in `buttons`."""
VARIANTS: Mapping[str, str] = {"tool": "secondary"}
RENAMED: Mapping[str, str] = {"default": "value"}
"""Old keyword -> the new one where the constructor has that; the rest is left out like all unknown ones."""


def translated(cls: Any, given: Mapping[str, Any], known: frozenset[str], takes_all: bool) -> dict[str, Any]:
    """Turn keywords of older versions into those that a constructor takes; unknown ones are left out."""
    wanted, name = dict(given), cls.__name__
    for change in (_sources, _buttons, _visible, _file_type, _renamed):
        change(wanted, known)
    if name in ("Dropdown", "DropdownMulti") and "value" not in wanted and wanted.get("choices"):
        wanted["value"] = None
    if wanted.get("variant") in VARIANTS and "variant" in known:
        wanted["variant"] = VARIANTS[wanted["variant"]]
    if name == "Blocks" and wanted.get("css"):
        host().css.append(str(wanted.pop("css")))
    for key in [] if takes_all else [key for key in wanted if key not in known]:
        logger.debug("%s(%s=) is not known to this version of gradio; it is left out", name, key)
        del wanted[key]
    return wanted


def _sources(wanted: dict[str, Any], known: frozenset[str]) -> None:
    if "source" in wanted and "sources" in known:
        source = wanted.pop("source")
        wanted["sources"] = [source] if source in SOURCES else ["upload"]


def _buttons(wanted: dict[str, Any], known: frozenset[str]) -> None:
    asked = {BUTTONS[key]: wanted.pop(key) for key in BUTTONS if key in wanted and key not in known}
    shown = [name for name, on in asked.items() if on]
    if "buttons" in known and (shown or asked):
        wanted.setdefault("buttons", shown)


def _visible(wanted: dict[str, Any], _known: frozenset[str]) -> None:
    # What is not visible is not in the page any more, and page scripts look for it there.
    if wanted.get("visible") is False:
        wanted["visible"] = "hidden"


def _file_type(wanted: dict[str, Any], known: frozenset[str]) -> None:
    if wanted.get("type") in FILE_TYPES and "file_count" in known:
        wanted["type"] = FILE_TYPES[wanted["type"]]


def _renamed(wanted: dict[str, Any], known: frozenset[str]) -> None:
    for old, new in RENAMED.items():
        if old in wanted and old not in known and new in known:
            wanted[new] = wanted.pop(old)


def updated(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what an update changes into what this version's components know."""
    wanted = dict(given)
    _visible(wanted, frozenset())
    if "source" in wanted:
        _sources(wanted, frozenset({"sources"}))
    return wanted


def keywords_of(function: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """Return the keywords that a function takes, and whether it takes any other."""
    parameters = inspect.signature(function).parameters.values()
    return frozenset(one.name for one in parameters), any(one.kind is one.VAR_KEYWORD for one in parameters)
