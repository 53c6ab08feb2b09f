"""Files of extra networks, read once and kept while they are used."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from modules.adapters.hypernetwork.hypernetwork import Hypernetwork
from modules.adapters.hypernetwork.read import read_hypernetwork
from modules.adapters.lora.file import LoraFile, read_lora
from modules.adapters.textual_inversion.folder import EmbeddingFolder, Listing
from modules.library.folders import stamp

T = TypeVar("T")
FileKey = tuple[Path, tuple[int, ...]]
"""A file in the state in which it was read."""


class _Kept(Generic[T]):
    """What was read, the last used at the end."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._known: OrderedDict[FileKey, T] = OrderedDict()

    def get(self, path: Path) -> tuple[FileKey, T]:
        key = (path, stamp(path))
        if key not in self._known:
            self._known[key] = self._read(path)
        self._known.move_to_end(key)
        return key, self._known[key]

    def trim(self, most: int, used: frozenset[Path]) -> None:
        """Forget files that are not used, the longest unused first, until so many are left beside those in use."""
        idle = [key for key in self._known if key[0] not in used]
        for key in idle[: max(0, len(idle) - most)]:
            del self._known[key]


class NetworkFiles:
    """LoRAs, hypernetworks and embeddings in memory. Thread-safe.

    Args:
        embeddings: where embeddings lie.
        allow_unsafe: read pickles without the check (`--disable-safe-unpickle`).
    """

    def __init__(self, embeddings: EmbeddingFolder, *, allow_unsafe: bool = False) -> None:
        self._folder, self._lock = embeddings, threading.Lock()
        self._loras = _Kept[LoraFile](lambda path: read_lora(path, allow_unsafe=allow_unsafe))
        self._hypernetworks = _Kept[Hypernetwork](lambda path: read_hypernetwork(path, allow_unsafe=allow_unsafe))

    def lora(self, path: Path) -> tuple[FileKey, LoraFile]:
        """Return a LoRA as it is on disk now.

        Raises:
            BrokenFile: it cannot be read.
        """
        with self._lock:
            return self._loras.get(path)

    def hypernetwork(self, path: Path) -> Hypernetwork:
        """Return a hypernetwork as it is on disk now.

        Raises:
            BrokenFile: it cannot be read.
        """
        with self._lock:
            return self._hypernetworks.get(path)[1]

    def listing(self, *, fresh: bool = False) -> Listing:
        """Return the embeddings that lie in the folder now; `fresh` reads every file again."""
        return self._folder.listing(fresh=fresh)

    def trim(self, used: Iterable[Path], *, loras: int) -> None:
        """Forget what is not used; so many LoRAs stay beside those in use."""
        paths = frozenset(used)
        with self._lock:
            self._loras.trim(loras, paths)
            self._hypernetworks.trim(0, paths)
