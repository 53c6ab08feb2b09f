"""Pictures that can be fetched for a while at an address that nobody can guess."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEEP_S = 60 * 60
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A picture and when it was put here."""

    data: bytes
    format: str
    user: str | None
    at: float


class Links:
    """Keeps pictures by random names, for an hour or until there are too many. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._kept: OrderedDict[str, Linked] = OrderedDict()

    def put(self, data: bytes, kind: str, user: str | None) -> str:
        """Keep a picture and return its name."""
        name = secrets.token_urlsafe(24)
        with self._lock:
            self._kept[name] = Linked(data=data, format=kind, user=user, at=self._clock())
            self._forget()
        return name

    def get(self, name: str, user: str | None) -> Linked | None:
        """Return a picture; None when it has expired, never was, or is somebody else's."""
        with self._lock:
            self._forget()
            found = self._kept.get(name)
        return found if found is not None and found.user == user else None

    def _forget(self) -> None:
        oldest, total = self._clock() - KEEP_S, sum(len(one.data) for one in self._kept.values())
        while self._kept:
            first = next(iter(self._kept.values()))
            if first.at >= oldest and (total <= MAX_BYTES or len(self._kept) == 1):
                return
            total -= len(first.data)
            self._kept.popitem(last=False)
