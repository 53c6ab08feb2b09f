"""How long the parts of the start took."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

Mark = Callable[[str], None]


class StartProfile:
    """Collects the seconds that parts of the start took; several threads do.

    Args:
        log: write a line for each part, as `--log-startup` asks.
        clock: monotonic seconds.
    """

    def __init__(self, *, log: bool = False, clock: Callable[[], float] = time.perf_counter) -> None:
        self._log, self._clock = log, clock
        self._began = self._ended = clock()
        self._lock = threading.Lock()
        self._records: dict[str, float] = {}

    def timer(self) -> Mark:
        """Return a function that notes, under a name, what has passed since it was called last."""
        last = self._clock()

        def mark(name: str) -> None:
            nonlocal last
            now = self._clock()
            with self._lock:
                self._records[name] = self._records.get(name, 0.0) + now - last
                self._ended = max(self._ended, now)
            if self._log:
                logger.info("start: %s took %.2f s", name, now - last)
            last = now

        return mark

    def dump(self) -> dict[str, Any]:
        """Return all parts, and the seconds from the first to the end of the last."""
        with self._lock:
            return {"total": self._ended - self._began, "records": dict(self._records)}
