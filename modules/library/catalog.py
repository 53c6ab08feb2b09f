"""The checkpoints on disk, by every name that people and old infotexts use for them."""

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Generic, TypeVar

from modules.domain.errors import BrokenFile, UnknownName, UnsupportedCheckpoint
from modules.library.folders import is_model_folder, read_model_header, stamp
from modules.library.hashes import AUTOV2_DIGITS, Cancelled, HashCache
from modules.library.header import Header
from modules.library.scan import natural_key, scan_files
from modules.library.sidecars import config_path

logger = logging.getLogger(__name__)

SUFFIXES = (".ckpt", ".safetensors")

_TRAILING_HASH = re.compile(r"\s*\[[^\[\]]*\]\s*$")
_HUB_CACHE = re.compile(
    r"^(?P<before>(?:.*/)?)models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<revision>[^/]+)$"
)
_OLD_HASH = re.compile(r"(?:(?P<name>.*) \[)?(?P<hash>[0-9a-f]{8})\]?")

MatchT = TypeVar("MatchT")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEntry:
    """One checkpoint: a file, or a folder in the layout of diffusers."""

    path: Path
    name: str
    """Relative to its folder, with `/` between parts: `sub/model.safetensors`."""
    sha256: str | None = None
    """Hash of the whole file, once it is known."""
    config: Path | None = None
    """Sidecar yaml beside the file."""

    @property
    def base(self) -> str:
        """Name without folders and extension, as infotexts write it."""
        return PurePosixPath(_without_suffix(self.name)).name

    @property
    def model_name(self) -> str:
        """Name without extension, in one piece."""
        return _without_suffix(self.name).replace("/", "_")

    @property
    def short_hash(self) -> str:
        """AutoV2, 10 digits; empty until the file was hashed."""
        return (self.sha256 or "")[:AUTOV2_DIGITS]

    @property
    def title(self) -> str:
        """What selectors show and settings store."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name

    @property
    def short_title(self) -> str:
        """The title without folders and extension."""
        return f"{self.base} [{self.short_hash}]" if self.sha256 else self.base

    def aliases(self) -> tuple[str, ...]:
        """Texts that mean exactly this checkpoint, apart from those with the old hash."""
        plain = (self.title, self.name, self.model_name, self.base)
        return (*plain, self.short_title, self.short_hash, self.sha256) if self.sha256 else plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection(Generic[MatchT]):
    """What the inside of a checkpoint file says."""

    match: MatchT | None = None
    """The family that recognised it."""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""
    """Why the file cannot be used; empty when it can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where checkpoints come from."""

    folders: Sequence[Path]
    """Scanned with their sub-folders; of two files with equal names the first is listed."""
    first: Path | None = None
    """A single file that leads the list (`--ckpt`)."""
    hidden: bool = True
    """Look into folders whose name begins with a dot."""
    hashing: bool = True
    """Off with `--no-hashing`: nothing is hashed and titles have no brackets."""
    allow_unsafe: bool = False
    """On with `--disable-safe-unpickle`."""


class Catalog(Generic[MatchT]):
    """The list of checkpoints. Readers see one list as a whole; `refresh` and `hash` put another in its place."""

    def __init__(self, sources: Sources, hashes: HashCache, identify: Callable[[Header], MatchT | None]) -> None:
        """Start empty; call `refresh` to scan.

        Args:
            sources: folders and files.
            hashes: the cache of hashes.
            identify: tells which family can load a file with this header; may raise `BrokenFile` or
                `UnsupportedCheckpoint`.
        """
        self._sources, self._hashes, self._identify = sources, hashes, identify
        self._entries: tuple[CheckpointEntry, ...] = ()
        self._inspections: dict[tuple[Path, tuple[int, ...]], Inspection[MatchT]] = {}
        self._lock = threading.Lock()

    @property
    def entries(self) -> tuple[CheckpointEntry, ...]:
        """All checkpoints in natural order, the one of `--ckpt` first."""
        return self._entries

    def refresh(self) -> tuple[CheckpointEntry, ...]:
        """Scan the folders again and return the new list."""
        # Under the lock as a whole: a hash that is computed meanwhile is seen here or put in afterwards.
        with self._lock:
            self._entries = tuple(self._entry(name, path) for name, path in self._scan())
            return self._entries

    def _scan(self) -> list[tuple[str, Path]]:
        named: dict[str, Path] = {}
        for folder in self._sources.folders:
            for name, path in scan_files(folder, SUFFIXES, hidden=self._sources.hidden, whole=is_model_folder):
                if not is_vae_name(name):
                    named.setdefault(_hub_name(name, named), path)
        ordered = sorted(named.items(), key=lambda item: natural_key(item[0]))
        first = self._sources.first
        if first and (first.is_file() or is_model_folder(first)):
            return [self._name_first(first), *(item for item in ordered if not _same(item[1], first))]
        return ordered

    def default(self) -> CheckpointEntry | None:
        """The first checkpoint that can be used, for when none or a missing one is configured; else the first."""
        usable = (entry for entry in self._entries if self.inspect(entry).match is not None)
        return next(usable, next(iter(self._entries), None))

    def find(self, text: str) -> CheckpointEntry | None:
        """Look up a checkpoint by title, name, hash or a part of its title.

        An exact alias wins; then the shortest title that contains the text; then the same without a
        trailing `[hash]`, for hashes of files that were changed or never hashed here.
        """
        text = text.strip().replace("\\", "/")
        if not text:
            return None
        entries = self._entries
        return (
            next((entry for entry in entries if text in (entry.title, entry.name)), None)
            or next((entry for entry in entries if text in entry.aliases()), None)
            or self._find_by_old_hash(text, entries)
            or _shortest_with(text, entries)
            or _shortest_with(_TRAILING_HASH.sub("", text), entries)
        )

    def get(self, text: str, *, field: str = "") -> CheckpointEntry:
        """Look up a checkpoint that must be there.

        Raises:
            UnknownName: nothing fits; lists what there is.
        """
        entry = self.find(text)
        if entry is None:
            raise UnknownName("checkpoint", text, (known.title for known in self._entries), field=field)
        return entry

    def hash(self, entry: CheckpointEntry, cancelled: Cancelled = lambda: False) -> CheckpointEntry:
        """Hash a checkpoint, so that its title shows it from now on.

        Returns:
            The entry with its hash; unchanged when hashing is off or was cancelled.

        Raises:
            BrokenFile: the file cannot be read.
        """
        sha256 = self._hashes.sha256(entry.path, cancelled) if self._sources.hashing else None
        if sha256 is None:
            return entry
        hashed = replace(entry, sha256=sha256)
        with self._lock:
            self._entries = tuple(hashed if known.path == entry.path else known for known in self._entries)
        return hashed

    def import_hashes(self, cache_json: Path) -> int:
        """Take over hashes that A1111 computed for these checkpoints.

        Args:
            cache_json: its `cache.json`; nothing happens when it is not there.

        Returns:
            How many were new.
        """
        if not self._sources.hashing:
            return 0
        number = self._hashes.import_cache_json(
            cache_json, {f"checkpoint/{one.name}": one.path for one in self._entries}
        )
        if number:
            self.refresh()
        return number

    def inspect(self, entry: CheckpointEntry) -> Inspection[MatchT]:
        """Read a checkpoint's header and classify it; a broken file gives a fault, not an error.

        The answer is remembered until the file changes.
        """
        try:
            entry.path.stat()
        except OSError as error:
            return Inspection(fault=f"{entry.path.name}: cannot be read: {error.strerror or error}")
        key = (entry.path, stamp(entry.path))
        known = self._inspections.get(key)
        if known is None:
            known = self._inspections[key] = self._inspect(entry.path)
        return known

    def _inspect(self, path: Path) -> Inspection[MatchT]:
        try:
            header = read_model_header(path, allow_unsafe=self._sources.allow_unsafe)
            return Inspection(match=self._identify(header), metadata=header.metadata)
        except (BrokenFile, UnsupportedCheckpoint) as error:
            return Inspection(fault=str(error))

    def _entry(self, name: str, path: Path) -> CheckpointEntry:
        sha256 = self._hashes.known_sha256(path) if self._sources.hashing else None
        return CheckpointEntry(path=path, name=name, sha256=sha256, config=config_path(path))

    def _name_first(self, path: Path) -> tuple[str, Path]:
        for folder in self._sources.folders:
            if path.absolute().is_relative_to(folder.absolute()):
                return path.absolute().relative_to(folder.absolute()).as_posix(), path
        return path.name, path

    def _find_by_old_hash(self, text: str, entries: Sequence[CheckpointEntry]) -> CheckpointEntry | None:
        """Old hashes cost a look into every file, so they are computed when somebody asks for one."""
        wanted = _OLD_HASH.fullmatch(text)
        if not wanted or not self._sources.hashing:
            return None
        for entry in entries:
            try:
                if wanted["name"] in (None, entry.name) and self._hashes.old_hash(entry.path) == wanted["hash"]:
                    return entry
            except BrokenFile as error:
                logger.debug("%s", error)
        return None


def _without_suffix(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def _hub_name(name: str, taken: Mapping[str, Path]) -> str:
    """Give a folder in the cache of the Hugging Face hub the name it has there; later revisions keep their number."""
    match = _HUB_CACHE.match(name)
    if match is None:
        return name
    plain = f"{match['before']}{match['owner']}/{match['name']}"
    return plain if plain not in taken else f"{plain}@{match['revision'][:8]}"


def is_vae_name(name: str) -> bool:
    """Tell whether a file beside checkpoints is a VAE: `model.vae.pt`, `model.vae.safetensors` ..."""
    return Path(name).stem.lower().endswith(".vae")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _shortest_with(text: str, entries: Sequence[CheckpointEntry]) -> CheckpointEntry | None:
    found = [entry for entry in entries if text and text in entry.title]
    return min(found, key=lambda entry: len(entry.title), default=None)
