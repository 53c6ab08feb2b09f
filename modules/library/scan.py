"""Find model files below a folder."""

import logging
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which `v2` comes before `v10`, whatever the case of letters."""
    return [(0, int(part[:4000]), "") if part[:1].isdecimal() and part.isascii() else (1, 0, part.casefold())
            for part in _DIGITS.split(text) if part]  # fmt: skip


def scan_files(
    folder: Path, suffixes: Collection[str], *, hidden: bool = True, whole: Callable[[Path], bool] | None = None
) -> list[tuple[str, Path]]:
    """List the files with certain extensions below a folder, in natural order.

    Links to files and folders are followed; broken ones, folders that cannot be read, and folders that were
    already visited under another name are skipped.

    Args:
        folder: where to look; one that is not there has no files.
        suffixes: extensions with the dot, in small letters.
        hidden: look into folders whose name begins with a dot.
        whole: tells which folders are listed as one thing instead of being looked into.

    Returns:
        Pairs of the name relative to the folder, with `/` between parts, and the path.
    """
    walked = _walk(folder, hidden, whole)
    found = [path for path, is_whole in walked if is_whole or path.suffix.lower() in suffixes]
    return sorted(
        ((path.relative_to(folder).as_posix(), path) for path in found), key=lambda pair: natural_key(pair[0])
    )


def _walk(folder: Path, hidden: bool, whole: Callable[[Path], bool] | None) -> Iterator[tuple[Path, bool]]:
    """Real folders come before links, so a file is listed under its own name if it has one here."""
    todo, links, visited = deque([folder]), deque[Path](), set[tuple[int, int]]()
    while todo or links:
        current = todo.popleft() if todo else links.popleft()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            if whole is not None and current != folder and whole(current):
                yield current, True
                continue
            with os.scandir(current) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if current != folder:
                logger.warning("%s is skipped: %s", current, error.strerror or error)
            continue
        for entry in listed:
            path = Path(entry.path)
            if _is_folder(entry):
                if hidden or not entry.name.startswith("."):
                    (links if entry.is_symlink() else todo).append(path)
            elif _is_file(entry):
                yield path, False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
