"""The LoRA files on disk, by every name that prompts use for them."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import BrokenFile
from modules.library.folders import stamp
from modules.library.header import read_header
from modules.library.scan import scan_files

logger = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pt", ".ckpt")
RESERVED = frozenset({"none", "addams"})
"""Aliases that trainers write without meaning a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraEntry:
    """One LoRA file."""

    name: str
    """Of the file, without folders and ending."""
    path: Path
    alias: str
    """What its trainer called it; the name of the file when that is not told."""
    metadata: Mapping[str, str]
    relative: str
    """Name with folders, without ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraNames:
    """What prompts may call some LoRAs."""

    entries: tuple[LoraEntry, ...]
    by_name: Mapping[str, LoraEntry]
    by_alias: Mapping[str, LoraEntry]
    """Names and aliases; of several files with one alias the last."""
    ambiguous: frozenset[str]
    """Aliases of several files, small letters; only the names of files count there."""

    def find(self, text: str) -> LoraEntry | None:
        """Look a LoRA up by name, alias, or name with folders."""
        if text.lower() in RESERVED or text.lower() in self.ambiguous:
            return self.by_name.get(text)
        found = self.by_alias.get(text)
        return found or next((entry for entry in self.entries if entry.relative == text), None)


class LoraCatalog:
    """The LoRAs below some folders. Readers see one list as a whole; `refresh` puts another in its place.

    Args:
        folders: scanned with their sub-folders.
        allow_unsafe: look into pickles that ask for code too.
    """

    def __init__(self, folders: Sequence[Path], *, allow_unsafe: bool = False) -> None:
        self._folders, self._allow_unsafe = folders, allow_unsafe
        self._metadata: dict[tuple[Path, tuple[int, ...]], Mapping[str, str]] = {}
        self._lock = threading.Lock()
        self._names: LoraNames | None = None

    @property
    def entries(self) -> tuple[LoraEntry, ...]:
        """All files in natural order."""
        return (self._names or self._scan()).entries

    def refresh(self) -> tuple[LoraEntry, ...]:
        """Scan the folders again and return all files. Only those that are new or changed are looked into."""
        return self._scan().entries

    def _scan(self) -> LoraNames:
        with self._lock:
            known = self._metadata
            self._metadata = {}
            entries = tuple(
                self._entry(name, path, known) for folder in self._folders for name, path in self._files(folder)
            )
            self._names = names_of(entries)
            return self._names

    def find(self, text: str) -> LoraEntry | None:
        """Look a LoRA up by name, alias, or name with folders; an unknown one is looked for on disk again."""
        return (self._names or self._scan()).find(text) or self._scan().find(text)

    def _files(self, folder: Path) -> list[tuple[str, Path]]:
        return scan_files(folder, SUFFIXES)

    def _entry(
        self, relative: str, path: Path, known: Mapping[tuple[Path, tuple[int, ...]], Mapping[str, str]]
    ) -> LoraEntry:
        key = (path, stamp(path))
        metadata = self._metadata[key] = known[key] if key in known else self._read(path)
        return LoraEntry(
            name=path.stem,
            path=path,
            alias=metadata.get("ss_output_name") or path.stem,
            metadata=metadata,
            relative=relative[: -len(path.suffix)],
        )

    def _read(self, path: Path) -> Mapping[str, str]:
        if path.suffix.lower() != ".safetensors":
            return {}
        try:
            return read_header(path, allow_unsafe=self._allow_unsafe).metadata
        except BrokenFile as error:
            logger.warning("%s", error)
            return {}


def names_of(entries: tuple[LoraEntry, ...]) -> LoraNames:
    """Settle what names stand for; a name that belongs to several files stands for the last."""
    by_name, by_alias, ambiguous = dict[str, LoraEntry](), dict[str, LoraEntry](), set[str]()
    for entry in entries:
        by_name[entry.name] = entry
        if entry.alias in by_alias and by_alias[entry.alias].path != entry.path:
            ambiguous.add(entry.alias.lower())
        by_alias[entry.name] = by_alias[entry.alias] = entry
    return LoraNames(entries=entries, by_name=by_name, by_alias=by_alias, ambiguous=frozenset(ambiguous))
