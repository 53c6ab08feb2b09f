"""Write files so that a crash, a full disk or a power cut leaves the old content or the new, never half."""

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modules.domain.errors import StorageFault

Buffer = bytes | memoryview

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied; check who owns the folder",
    errno.EPERM: "permission denied; check who owns the folder",
    errno.ENAMETOOLONG: "the name is too long for this disk",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "a folder of that name is in the way",
    errno.EFBIG: "the file is larger than this disk allows",
    errno.EIO: "the disk reports a hardware error",
}


def storage_fault(path: Path, error: OSError) -> StorageFault:
    """Say in words a person can act on why a file could not be written."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    return StorageFault(f"{path} could not be written: {reason}")


def make_folder(path: Path) -> Path:
    """Create a folder and its parents where missing, and return it.

    Raises:
        StorageFault: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_fault(path, error) from error
    return path


def write(path: Path, data: bytes | str) -> None:
    """Replace a file as a whole; text is written as UTF-8 with `\\n` line ends.

    A link is kept and the file it points to is replaced. An existing file keeps its permissions.

    Raises:
        StorageFault: the disk is full, read-only, or refuses. The old content is untouched.
    """
    raw = data.encode() if isinstance(data, str) else data
    target = Path(os.path.realpath(path))
    temp = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        with _removed_on_failure(temp):
            _write_through(temp, [raw])
            with contextlib.suppress(FileNotFoundError):
                temp.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(temp, target)
        sync_folder(target.parent)
    except OSError as error:
        raise storage_fault(path, error) from error


def create(path: Path, data: bytes) -> bool:
    """Write a file that must not exist yet.

    Returns:
        False when there is a file of that name, which is left alone.

    Raises:
        StorageFault: the disk is full, read-only, or refuses.
    """
    return create_from(path, [data])


def create_from(path: Path, pieces: Iterable[Buffer]) -> bool:
    """Write a file that must not exist yet from its pieces in order. If making a piece fails, nothing is left.

    Returns:
        False when there is a file of that name, which is left alone.

    Raises:
        StorageFault: the disk is full, read-only, or refuses.
    """
    temp = path.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        with _removed_on_failure(temp):
            _write_through(temp, pieces)
        try:
            return _claimed(temp, path)
        finally:
            temp.unlink(missing_ok=True)
    except OSError as error:
        raise storage_fault(path, error) from error


def _claimed(temp: Path, path: Path) -> bool:
    """Give a finished file its name, unless that is taken."""
    try:
        os.link(temp, path)
    except FileExistsError:
        return False
    except OSError:
        # Some disks know no second name for a file.
        if path.exists():
            return False
        os.replace(temp, path)
    sync_folder(path.parent)
    return True


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file; the value is turned into text before the disk is touched.

    Raises:
        StorageFault: see `write`.
        TypeError, ValueError: the value has no JSON form (NaN and infinity have none).
    """
    write(path, json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False) + "\n")


def _write_through(path: Path, pieces: Iterable[Buffer]) -> None:
    # Created by os.open instead of tempfile, so that the user's umask decides who may read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _removed_on_failure(temp: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
