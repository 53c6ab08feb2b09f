"""What is remembered of files between starts: hashes, and what extensions keep."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from modules.compat.host import host
from modules.files import atomic


def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """Return the hash of a file, remembered until the file changes; None while hashing is off."""
    cache_ = host().workshop().shelf().hashes
    if cache_ is None:
        return None
    if use_addnet_hash:
        return cache_.lora_hash(Path(filename), {})
    return cache_.sha256(Path(filename))


def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """Return the hash of a file if it is known."""
    cache_ = host().workshop().shelf().hashes
    if cache_ is None:
        return None
    return cache_.known_lora_hash(Path(filename), {}) if use_addnet_hash else cache_.known_sha256(Path(filename))


def calculate_sha256(filename: str) -> str:
    """Return the hash of a file.

    Raises:
        BrokenFile: it cannot be read.
    """
    from modules.library.hashes import file_sha256

    return file_sha256(Path(filename)) or ""


class CacheSection(MutableMapping[str, Any]):
    """One part of what extensions keep between starts; written with every change."""

    def __init__(self, name: str) -> None:
        self._path = host().layout.cache / "extensions" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.json"
        self._values: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._values = json.loads(self._path.read_text(encoding="utf-8"))

    def _write(self) -> None:
        atomic.make_folder(self._path.parent)
        atomic.write_json(self._path, self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._write()

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._write()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def cache(subsection: str) -> CacheSection:
    """Return a part of what extensions keep."""
    return host().caches.setdefault(subsection, CacheSection(subsection))


def dump_cache() -> None:
    """Write what is kept; every change is written at once."""


def cached_data_for_file(subsection: str, title: str, filename: str, func: Callable[[], Any]) -> Any:
    """Return what was worked out for a file, again when the file changed."""
    kept, changed = cache(subsection), Path(filename).stat().st_mtime
    entry = kept.get(title)
    if entry is not None and entry.get("mtime") == changed:
        return entry.get("value")
    value = func()
    if value is not None:
        kept[title] = {"mtime": changed, "value": value}
    return value
