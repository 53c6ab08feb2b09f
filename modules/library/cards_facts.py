"""What was found inside files, remembered over restarts, so that no file is looked into twice."""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from modules.domain.errors import StorageFault
from modules.files.atomic import make_folder, write

logger = logging.getLogger(__name__)

FactsT = TypeVar("FactsT")
Subject = tuple[Path, tuple[int, ...]]
"""A file and the stamp of what is known of it."""


class FactFile(Generic[FactsT]):
    """Facts by file, valid as long as its stamp stays. Kept as JSON; a damaged or older file is begun anew.

    Args:
        path: of the JSON file.
        version: of the form of the facts; files of another one are not read.
        dump: facts -> what JSON can hold.
        load: the way back; raises ValueError, TypeError or LookupError for what `dump` did not make.
    """

    def __init__(
        self, path: Path, *, version: int, dump: Callable[[FactsT], Any], load: Callable[[Any], FactsT]
    ) -> None:
        self._path, self._version, self._dump, self._load = path, version, dump, load
        self._known: dict[Path, tuple[tuple[int, ...], FactsT]] | None = None
        self._lock = threading.Lock()

    def all(self, subjects: Iterable[Subject], look: Callable[[Path], FactsT]) -> dict[Path, FactsT]:
        """Return the facts of some files and forget all others. Only new and changed files are looked into."""
        with self._lock:
            before = self._known if self._known is not None else self._read()
            now: dict[Path, tuple[tuple[int, ...], FactsT]] = {}
            changed = False
            for path, stamp in subjects:
                known = before.get(path)
                if known is None or known[0] != stamp:
                    known, changed = (stamp, look(path)), True
                now[path] = known
            self._known = now
            if changed or now.keys() != before.keys():
                self._write(now)
            return {path: facts for path, (_, facts) in now.items()}

    def one(self, subject: Subject, look: Callable[[Path], FactsT]) -> FactsT:
        """Return the facts of one file."""
        path, stamp = subject
        with self._lock:
            known = self._known = self._known if self._known is not None else self._read()
            if path not in known or known[path][0] != stamp:
                known[path] = (stamp, look(path))
                self._write(known)
            return known[path][1]

    def _read(self) -> dict[Path, tuple[tuple[int, ...], FactsT]]:
        try:
            document = json.loads(self._path.read_bytes())
            if document["version"] != self._version:
                return {}
            return {Path(path): (tuple(stamp), self._load(facts)) for path, stamp, facts in document["files"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            logger.warning("%s is begun anew: %s", self._path, error)
            return {}

    def _write(self, known: Mapping[Path, tuple[tuple[int, ...], FactsT]]) -> None:
        files = [(str(path), stamp, self._dump(facts)) for path, (stamp, facts) in known.items()]
        try:
            make_folder(self._path.parent)
            write(self._path, json.dumps({"version": self._version, "files": files}))
        except StorageFault as error:
            logger.warning("what was found in files is not remembered: %s", error)
