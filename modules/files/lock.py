"""Tell a second process that a folder is in use. The system frees the lock when its holder dies."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modules.files.atomic import storage_fault

LOCK_NAME = ".webui.lock"

# Windows locks bytes against reading too, so the locked byte lies far behind the text.
_LOCKED_BYTE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    """0 when it could not be read."""
    host: str

    def __str__(self) -> str:
        return f"process {self.pid or '(unknown)'} on {self.host or 'this machine'}"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Holder | None]:
    """Lock a folder while the `with` runs.

    Yields:
        `None` when the lock is ours, else who has it; nothing is blocked, the caller decides.

    Raises:
        StorageFault: the lock file cannot be opened.
    """
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise storage_fault(path, error) from error
    try:
        if not _try_lock(descriptor):
            yield _read(descriptor)
            return
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        yield None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Holder:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pid, _, host = os.read(descriptor, 1000).decode(errors="replace").strip().partition(" ")
    return Holder(pid=int(pid) if pid.isascii() and pid.isdigit() else 0, host=host)


def _try_lock(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network disks have no locks; a warning that cannot be given must not stop the start.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True
