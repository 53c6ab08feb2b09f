"""The jobs that ended a short while ago, with their pictures."""

import time
from collections import deque
from collections.abc import Sequence

from modules.engine.job import JobHandle

KEEP_JOBS = 16
KEEP_S = 15 * 60
KEEP_BYTES = 512 << 20
"""Ended jobs are forgotten, oldest first, once there are more, they are older, or their pictures take more memory."""


class Remembered:
    """Ended jobs, newest last. Not thread-safe."""

    def __init__(self) -> None:
        self._ended: deque[JobHandle] = deque()

    def add(self, handle: JobHandle) -> None:
        """Remember a job that ends now."""
        self._ended.append(handle)
        self.all()

    def remove(self, job_id: str) -> bool:
        """Forget a job; False when it was not remembered."""
        kept = deque(handle for handle in self._ended if handle.id != job_id)
        found, self._ended = len(kept) < len(self._ended), kept
        return found

    def all(self) -> Sequence[JobHandle]:
        """Forget what is too old or too much, and return the others."""
        now, kept_bytes = time.time(), 0
        keep: deque[JobHandle] = deque()
        for handle in reversed(self._ended):
            kept_bytes += sum(len(picture.data) for picture in handle.images())
            too_old = now - (handle.ended_at or now) > KEEP_S
            if too_old or len(keep) >= KEEP_JOBS or (keep and kept_bytes > KEEP_BYTES):
                break
            keep.appendleft(handle)
        self._ended = keep
        return tuple(keep)
