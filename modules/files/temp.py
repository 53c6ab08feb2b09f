"""A private folder for temporary files, gone when the program ends."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from modules.files.atomic import storage_fault
from modules.files.lock import LOCK_NAME, hold

MAX_AGE_S = 24 * 3600.0
_PREFIX = "webui-temp-"


@contextlib.contextmanager
def temp_root(parent: Path | None = None) -> Iterator[Path]:
    """Create a folder that only this user can read, and remove it with all its content afterwards.

    Folders of earlier runs that ended without cleaning up are removed on the way in.

    Args:
        parent: where to put it; the system's folder for temporary files when `None`.

    Raises:
        StorageFault: it cannot be created.
    """
    place = parent or Path(tempfile.gettempdir())
    remove_leftovers(place)
    try:
        root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    except OSError as error:
        raise storage_fault(place, error) from error
    try:
        with hold(root):
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def remove_old_files(root: Path, max_age_s: float = MAX_AGE_S) -> int:
    """Remove files of a long run that nobody touched for a day. Returns how many."""
    oldest, count = time.time() - max_age_s, 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if name != LOCK_NAME and path.lstat().st_mtime < oldest:
                    path.unlink()
                    count += 1
    return count


def remove_leftovers(parent: Path, max_age_s: float = MAX_AGE_S) -> int:
    """Remove temporary folders whose process is gone and whose age is over the limit. Returns how many."""
    oldest, count = time.time() - max_age_s, 0
    for root in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = root.lstat()
            ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
            if root.is_symlink() or not ours or status.st_mtime >= oldest:
                continue
            with hold(root) as holder:
                in_use = holder is not None
            if not in_use:
                shutil.rmtree(root, ignore_errors=True)
                count += not root.exists()
    return count
