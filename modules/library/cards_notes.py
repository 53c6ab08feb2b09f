"""What people and model sites noted about a model: `<base>.json`, texts, and `<base>.civitai.info`."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest
from modules.files.atomic import write_json
from modules.library.sidecars import MAX_SIDECAR_BYTES

MAX_MARKUP = 1 << 16
"""Characters of a site's description that are read."""
_WRITING = threading.Lock()


class Damaged(InvalidRequest):
    """A file of notes that cannot be read, and so must not be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What a model site told, saved by a helper as `<base>.civitai.info`."""

    title: str = ""
    description: str = ""
    """Plain text."""
    words: tuple[str, ...] = ()
    """Trigger words; each may be several, with commas."""
    base_model: str = ""


def read_notes(path: Path) -> dict[str, Any]:
    """Read the notes of a user; {} when there is no such file or it is empty.

    Raises:
        Damaged: it is no JSON object, is too large, or says something twice.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIDECAR_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_SIDECAR_BYTES:
        raise Damaged(f"{path.name} has more than {MAX_SIDECAR_BYTES} bytes; those are no notes")
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path.name} is damaged and stays as it is; repair it or move it away ({error})") from error
    if not isinstance(value, dict):
        raise Damaged(f"{path.name} holds no notes and stays as it is; move it away")
    return value


def change_notes(path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change some entries of the notes; all others stay as they are. Nothing is written when nothing changes.

    Returns:
        All notes.

    Raises:
        Damaged: what is there cannot be read; it is left alone.
        StorageFault: the disk refuses.
    """
    with _WRITING:
        before = read_notes(path)
        after = {**before, **changes}
        if after != before:
            try:
                write_json(path, after)
            except ValueError as error:
                raise Damaged(f"{path.name} holds what no JSON file can and stays as it is ({error})") from error
        return after


def read_site(path: Path) -> SiteFacts:
    """Read what a model site told; a file that is missing, damaged or of another form tells nothing."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_SIDECAR_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return SiteFacts()
    if not isinstance(document, dict):
        return SiteFacts()
    words = document.get("trainedWords")
    names = (_text(_dict(document.get("model")).get("name")), _text(document.get("name")))
    return SiteFacts(
        title=", ".join(name for name in names if name),
        description=plain(_text(document.get("description"))),
        words=tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else (),
        base_model=_text(document.get("baseModel")),
    )


def plain(markup: str) -> str:
    """Return the words of an HTML text."""
    reader = _Words()
    reader.feed(markup[:MAX_MARKUP])
    reader.close()
    lines = ("".join(reader.parts)).splitlines()
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


class _Words(HTMLParser):
    """Collects text; blocks begin new lines."""

    _BLOCKS = frozenset({"p", "br", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "tr", "pre", "blockquote", "hr"})
    _SILENT = frozenset({"script", "style"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self._SILENT
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self._SILENT))
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(items)
    if len(made) != len(items):
        raise ValueError("it says the same thing twice")
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds the number {text}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
