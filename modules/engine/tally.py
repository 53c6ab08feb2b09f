"""Counts of what happened since the program started, for whoever measures it."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from modules.domain.result import Outcome
from modules.engine.job import JobHandle, Result

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted, at one moment."""

    jobs: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    """Ended jobs by kind and state."""
    pictures: int = 0
    stage_s: Mapping[str, float] = field(default_factory=lambda: _NONE)
    """Seconds by stage of the pipeline."""
    waited_s: float = 0.0
    """Seconds between acceptance and start, of all jobs that started."""
    ran_s: float = 0.0
    """Seconds between start and end."""
    started: int = 0


class Tally:
    """Counts ended jobs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: Counter[tuple[str, str]] = Counter()
        self._stage_s: dict[str, float] = {}
        self._counts = Counts()

    def ended(self, handle: JobHandle, result: Result | None) -> None:
        """Count a job that has just ended."""
        with self._lock:
            self._jobs[handle.job.kind, handle.state.value] += 1
            if isinstance(result, Outcome):
                for stage, seconds in result.timings.items():
                    self._stage_s[stage] = self._stage_s.get(stage, 0.0) + seconds
            if handle.started_at is None or handle.ended_at is None:
                return
            known = self._counts
            self._counts = replace(
                known,
                pictures=known.pictures + len(handle.images()),
                waited_s=known.waited_s + max(0.0, handle.started_at - handle.job.accepted_at),
                ran_s=known.ran_s + max(0.0, handle.ended_at - handle.started_at),
                started=known.started + 1,
            )

    def counts(self) -> Counts:
        """Return what was counted so far."""
        with self._lock:
            return replace(
                self._counts, jobs=MappingProxyType(dict(self._jobs)), stage_s=MappingProxyType(dict(self._stage_s))
            )
