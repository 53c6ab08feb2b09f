"""Hashes by which models are named in infotexts, titles and on model sites, and the cache that remembers them."""

import contextlib
import hashlib
import json
import logging
import re
import sqlite3
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from modules.domain.errors import BrokenFile
from modules.library.folders import model_files
from modules.library.header import MAX_HEADER_BYTES

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
AUTOV2_DIGITS = 10
AUTOV3_DIGITS = 12

Kind = Literal["sha256", "after_header", "old"]
Cancelled = Callable[[], bool]

_HEX = re.compile(r"[0-9a-f]{64}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS hashes (
    path TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (path, kind)
)
"""


def _never() -> bool:
    return False


def file_sha256(path: Path, *, skip_bytes: int = 0, cancelled: Cancelled = _never) -> str | None:
    """Hash a file from `skip_bytes` to its end, in chunks.

    Returns:
        64 hex digits, or `None` when it was cancelled on the way.

    Raises:
        BrokenFile: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            file.seek(skip_bytes)
            while chunk := file.read(CHUNK_BYTES):
                if cancelled():
                    return None
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest.hexdigest()


def old_hash(path: Path) -> str:
    """The 8 digits of the first public versions: 64 KiB, taken 1 MiB into the file.

    Raises:
        BrokenFile: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(0x100000)
            return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
    except OSError as error:
        raise _unreadable(path, error) from error


def header_bytes(path: Path) -> int:
    """Where the weights of a safetensors file begin; 0 for files of other types.

    Raises:
        BrokenFile: the file cannot be read.
    """
    if path.suffix.lower() != ".safetensors":
        return 0
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
    except OSError as error:
        raise _unreadable(path, error) from error
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    return 8 + length if 0 < length <= MAX_HEADER_BYTES else 0


def _unreadable(path: Path, error: OSError) -> BrokenFile:
    return BrokenFile(path, f"cannot be read: {error.strerror or error}")


class HashCache:
    """Hashes of files, valid as long as a file keeps its size and time of change. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Open or create the cache; one that is damaged or not writable is replaced by an empty one."""
        self._lock = threading.Lock()
        self._database = _open(path)

    def close(self) -> None:
        """Close the database; the cache is not usable afterwards."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> "HashCache":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def sha256(self, path: Path, cancelled: Cancelled = _never) -> str | None:
        """Hash of the whole file, 64 digits; `None` when cancelled.

        A folder's hash is that of the list of its files, each with its name and hash.

        Raises:
            BrokenFile: the file cannot be read.
        """
        if path.is_dir():
            return _of_folder(path, lambda file: self.sha256(file, cancelled))
        return self._get(path, "sha256", lambda: file_sha256(path, cancelled=cancelled))

    def short_hash(self, path: Path, cancelled: Cancelled = _never) -> str | None:
        """AutoV2, the 10 digits in titles and infotexts; `None` when cancelled.

        Raises:
            BrokenFile: the file cannot be read.
        """
        value = self.sha256(path, cancelled)
        return value and value[:AUTOV2_DIGITS]

    def lora_hash(self, path: Path, metadata: Mapping[str, str], cancelled: Cancelled = _never) -> str | None:
        """AutoV3, the 12 digits of a LoRA; `None` when cancelled.

        Its trainer may have stored the hash in the metadata (`sshs_model_hash`). Otherwise it is that of
        the weights without the header, so editing metadata does not change it.

        Raises:
            BrokenFile: the file cannot be read.
        """
        if stored := metadata.get("sshs_model_hash"):
            return stored[:AUTOV3_DIGITS]
        skip = header_bytes(path)
        if not skip:
            value = self.sha256(path, cancelled)
        else:
            value = self._get(path, "after_header", lambda: file_sha256(path, skip_bytes=skip, cancelled=cancelled))
        return value and value[:AUTOV3_DIGITS]

    def known_lora_hash(self, path: Path, metadata: Mapping[str, str]) -> str | None:
        """The same if it is stored in the file, or was computed before and the file is unchanged."""
        if stored := metadata.get("sshs_model_hash"):
            return stored[:AUTOV3_DIGITS]
        try:
            kind: Kind = "after_header" if header_bytes(path) else "sha256"
            value = self._look_up(path, kind, _stamp(path))
        except BrokenFile:
            return None
        return value and value[:AUTOV3_DIGITS]

    def old_hash(self, path: Path) -> str:
        """The 8 digits of the first public versions.

        Raises:
            BrokenFile: the file cannot be read.
        """
        return self._get(path, "old", lambda: old_hash(path)) or ""

    def known_sha256(self, path: Path) -> str | None:
        """Hash of the whole file if it was computed before and the file is unchanged."""
        try:
            if path.is_dir():
                return _of_folder(path, self.known_sha256)
            return self._look_up(path, "sha256", _stamp(path))
        except BrokenFile:
            return None

    def import_cache_json(self, cache_json: Path, files: Mapping[str, Path]) -> int:
        """Take over hashes that A1111 computed, for files that were not changed since.

        Args:
            cache_json: its `cache.json`.
            files: its keys (`checkpoint/<name>`, `lora/<name>` ...) and the files they mean here.

        Returns:
            How many were new.
        """
        try:
            section = json.loads(cache_json.read_text(encoding="utf-8"))["hashes"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return 0
        if type(section) is not dict:
            return 0
        section = {str(key).replace("\\", "/"): entry for key, entry in section.items()}
        return sum(self._import(path, section.get(key)) for key, path in files.items())

    def _import(self, path: Path, entry: Any) -> bool:
        value = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(value, str) or not _HEX.fullmatch(value) or not isinstance(entry.get("mtime"), int | float):
            return False
        try:
            stamp = _stamp(path)
        except BrokenFile:
            return False
        if stamp[1] / 1e9 > entry["mtime"] + 1e-3 or self._look_up(path, "sha256", stamp):
            return False
        self._remember(path, "sha256", stamp, value)
        return True

    def _get(self, path: Path, kind: Kind, compute: Callable[[], str | None]) -> str | None:
        stamp = _stamp(path)
        value = self._look_up(path, kind, stamp)
        if value is None:
            value = compute()
            # A file that changed while it was read has a hash that belongs to neither version.
            if value is not None and _stamp(path) == stamp:
                self._remember(path, kind, stamp, value)
        return value

    def _look_up(self, path: Path, kind: Kind, stamp: tuple[int, int]) -> str | None:
        query = "SELECT value FROM hashes WHERE path = ? AND kind = ? AND size = ? AND mtime_ns = ?"
        with self._lock:
            row = self._database.execute(query, (_key(path), kind, *stamp)).fetchone()
        return row[0] if row else None

    def _remember(self, path: Path, kind: Kind, stamp: tuple[int, int], value: str) -> None:
        try:
            with self._lock, self._database:
                self._database.execute(
                    "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", (_key(path), kind, *stamp, value)
                )
        except sqlite3.Error as error:
            logger.warning("the hash of %s is not remembered: %s", path.name, error)


def _of_folder(folder: Path, hash_of: Callable[[Path], str | None]) -> str | None:
    digest = hashlib.sha256()
    for file in model_files(folder):
        value = hash_of(file)
        if value is None:
            return None
        digest.update(f"{file.relative_to(folder).as_posix()} {value}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _key(path: Path) -> str:
    return str(path.absolute()).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns


def _open(path: Path) -> sqlite3.Connection:
    """A cache that cannot be kept must not stop the program: it is replaced, or lives in memory."""
    for attempt in (path, path, Path(":memory:")):
        database = None
        try:
            database = sqlite3.connect(attempt, timeout=10, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_SCHEMA)
            database.execute("SELECT path, kind, size, mtime_ns, value FROM hashes LIMIT 1")
        except sqlite3.Error as error:
            logger.warning("the hash cache %s is started anew: %s", attempt, error)
            if database:
                database.close()
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            continue
        return database
    raise RuntimeError("SQLite cannot open a database in memory")
