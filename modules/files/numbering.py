"""Numbered files that no two writers share, in one process or in several."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from modules.domain.errors import StorageFault
from modules.files.atomic import storage_fault, sync_folder
from modules.files.paths import safe_child

MAX_TRIES = 500
_LEFTOVER = re.compile(r"((.+-)?[0-9]{4,}|\.[0-9a-f]{12})\.tmp")
"""Claims of numbers, and what `atomic.write` had not yet renamed."""


def number_text(number: int, base: str = "") -> str:
    """`00012` for samples, `grid-0012` for files with a base name."""
    return f"{base}-{number:04}" if base else f"{number:05}"


class Reservation:
    """A number that is ours, and the temporary file to write to before it gets its name."""

    def __init__(self, folder: Path, base: str, number: int) -> None:
        self._folder = folder
        self.number = number
        self.text = number_text(number, base)
        """The number as it begins the file name."""
        self.temp = folder / f"{self.text}.tmp"

    def publish(self, name: str) -> Path:
        """Give the finished file its name, durably.

        Args:
            name: the file name; it begins with `text` unless the caller numbers in another way.

        Raises:
            StorageFault: the disk refuses.
            PathRefused: the name leads out of the folder.
        """
        path = safe_child(self._folder, name)
        try:
            with self.temp.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(self.temp, path)
            sync_folder(self._folder)
        except OSError as error:
            raise storage_fault(path, error) from error
        return path


class Numbering:
    """Hands out numbers per folder and base name: one more than the largest that was ever seen there."""

    def __init__(self) -> None:
        self._last: dict[tuple[Path, str], int] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reserve(self, folder: Path, base: str = "") -> Iterator[Reservation]:
        """Reserve the next number while the `with` runs; unless published, its temporary file is removed.

        Raises:
            StorageFault: the folder cannot be written, or five hundred numbers in a row were taken.
        """
        try:
            with self._lock:
                reservation = self._next(folder.resolve(), base)
        except OSError as error:
            raise storage_fault(folder, error) from error
        try:
            yield reservation
        finally:
            with contextlib.suppress(OSError):
                reservation.temp.unlink(missing_ok=True)

    def _next(self, folder: Path, base: str) -> Reservation:
        """Claim a number by creating its temporary file exclusively.

        A number is taken from the claim until the rename, and by the renamed file from then on. Both are
        one directory entry, so whoever creates the claim and then finds no file of that number owns it.
        """
        number = max(self._last.get((folder, base), -1), _largest(folder, base)) + 1
        for _ in range(MAX_TRIES):
            reservation = Reservation(folder, base, number)
            if _create(reservation.temp):
                taken = _numbers(folder, base, but=reservation.temp.name)
                if number not in taken:
                    self._last[folder, base] = number
                    return reservation
                reservation.temp.unlink(missing_ok=True)
                number = max(taken)
            number += 1
        raise StorageFault(f"{folder} could not be written: no free number after {number - 1}")


def _create(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    return True


def _numbers(folder: Path, base: str, but: str = "") -> set[int]:
    """Numbers of all files in a folder. More than nine digits are a seed, not a number."""
    begin = f"{re.escape(base)}-" if base else ""
    pattern = re.compile(rf"{begin}([0-9]{{1,9}})(?:[-.]|$)")
    with os.scandir(folder) as entries:
        matches = (pattern.match(entry.name) for entry in entries if entry.name != but)
        return {int(match[1]) for match in matches if match}


def _largest(folder: Path, base: str) -> int:
    return max(_numbers(folder, base), default=-1)


def remove_leftovers(folder: Path, older_than_s: float = 3600.0) -> int:
    """Remove temporary files that a killed process left in a folder. Returns how many."""
    oldest, count = time.time() - older_than_s, 0
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if _LEFTOVER.fullmatch(path.name) and path.lstat().st_mtime < oldest:
                path.unlink()
                count += 1
    return count


def tidy(roots: Iterable[Path]) -> int:
    """Remove leftovers from folders and everything below them; see `remove_leftovers`. Links are not followed."""
    found = {Path(folder) for root in roots for folder, _, _ in os.walk(root)}
    return sum(remove_leftovers(folder) for folder in found)
