"""The saved styles of an installation: read from one or several files, changed in the file that holds them."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from modules.domain.errors import InvalidRequest, LimitExceeded, StorageFault, UnknownName
from modules.files.atomic import make_folder, write
from modules.prompting.styles import Style, StyleTable, format_styles, read_styles

MAX_NAME, MAX_TEXT, MAX_STYLES = 200, 50_000, 10_000
_WILDCARDS = "*?["


class StyleBook:
    """Reads and changes styles; thread-safe.

    Args:
        places: files, or patterns with wildcards in their last part. New styles go to the first of them.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = tuple(places)
        self._lock = threading.Lock()

    def styles(self) -> tuple[Style, ...]:
        """Return the styles as they are on disk now."""
        return tuple(style for path in self._files() for style in read_styles(path).styles)

    def save(self, style: Style) -> None:
        """Change a style where it is kept, or add it; the file before is kept beside it as `.bak`.

        Raises:
            InvalidRequest: a name that a file cannot hold, or a text that is too long.
            StorageFault: the file cannot be written, or holds rows that would be lost.
        """
        _check(style)
        with self._lock:
            path = self._holder(style.name) or self._default()
            rows = {row.name: row for row in _whole(path).rows}
            if style.name not in rows and len(rows) >= MAX_STYLES:
                raise LimitExceeded("name", f"{len(rows)} styles in {path.name}", MAX_STYLES)
            rows[style.name] = style
            _replace(path, rows.values())

    def delete(self, name: str) -> None:
        """Remove a style from its file.

        Raises:
            UnknownName: there is no such style.
            StorageFault: the file cannot be written, or holds rows that would be lost.
        """
        with self._lock:
            path = self._holder(name)
            if path is None:
                raise UnknownName("Style", name, field="name")
            _replace(path, [row for row in _whole(path).rows if row.name != name])

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for place in self._places:
            if any(mark in place.name for mark in _WILDCARDS):
                found += sorted(place.parent.glob(place.name))
            elif place.is_file():
                found.append(place)
        return found

    def _holder(self, name: str) -> Path | None:
        held = (path for path in self._files() if any(style.name == name for style in read_styles(path).styles))
        return next(held, None)

    def _default(self) -> Path:
        if not self._places:
            raise StorageFault("no styles file is configured; start without --styles-file or with one")
        first = self._places[0]
        return first.with_name("styles.csv") if any(mark in first.name for mark in _WILDCARDS) else first


def _check(style: Style) -> None:
    name = style.name
    if not name or name != name.strip() or name.startswith("#") or not name.isprintable():
        raise InvalidRequest("a name is one line without # or a blank at its beginning", field="name")
    if len(name) > MAX_NAME:
        raise LimitExceeded("name", f"{len(name)} characters", MAX_NAME)
    for field, text in (("prompt", style.prompt), ("negative_prompt", style.negative_prompt)):
        if len(text) > MAX_TEXT:
            raise LimitExceeded(field, f"{len(text)} characters", MAX_TEXT)


def _whole(path: Path) -> StyleTable:
    """Read a file that is about to be written again; one that cannot be read wholly is left alone."""
    table = read_styles(path)
    if table.notes:
        raise StorageFault(f"{path.name} is not changed, because parts of it cannot be read: {table.notes[0]}")
    return table


def _replace(path: Path, rows: Iterable[Style]) -> None:
    make_folder(path.parent)
    if path.is_file():
        write(path.with_name(path.name + ".bak"), path.read_bytes())
    write(path, format_styles(rows))
