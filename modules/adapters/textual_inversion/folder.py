"""The folder of embeddings: read again when it changed, each file only once."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from modules.adapters.textual_inversion.embedding import Embedding
from modules.adapters.textual_inversion.read import SUFFIXES, read_embedding
from modules.domain.errors import BrokenFile
from modules.library.folders import stamp
from modules.library.scan import scan_files

logger = logging.getLogger(__name__)

_Known = dict[tuple[Path, tuple[int, ...]], Embedding | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in the folder."""

    embeddings: tuple[Embedding, ...] = ()
    faults: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a file that holds none -> why."""


class EmbeddingFolder:
    """Embeddings below some folders.

    Args:
        folders: scanned with their sub-folders, in order.
        allow_unsafe: read pickles without the check (`--disable-safe-unpickle`).
    """

    def __init__(self, folders: Sequence[Path], *, allow_unsafe: bool = False) -> None:
        self._folders, self._allow_unsafe = folders, allow_unsafe
        self._known: _Known = {}
        self._lock = threading.Lock()

    def listing(self, *, fresh: bool = False) -> Listing:
        """Return what is there now; files that did not change are not read again unless `fresh`."""
        with self._lock:
            if fresh:
                self._known = {}
            known = _Known()
            for path in self._files():
                key = (path, stamp(path))
                known[key] = self._known[key] if key in self._known else self._read(path)
            self._known = known
            read = {path: value for (path, _), value in known.items()}
        return Listing(
            embeddings=tuple(value for value in read.values() if isinstance(value, Embedding)),
            faults={path.stem: value for path, value in read.items() if isinstance(value, str)},
        )

    def _files(self) -> list[Path]:
        found = [path for folder in self._folders for _, path in scan_files(folder, SUFFIXES)]
        return [path for path in found if not path.stem.endswith(".preview") and _size(path) > 0]

    def _read(self, path: Path) -> Embedding | str:
        try:
            return read_embedding(path, allow_unsafe=self._allow_unsafe)
        except BrokenFile as error:
            logger.warning("embedding skipped: %s", error)
            return str(error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
