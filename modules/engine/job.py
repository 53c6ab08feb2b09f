"""A job, and the handle through which everyone else sees it run."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from modules.domain.errors import WebuiError
from modules.domain.events import TERMINAL, Event, ImageReady, Previewed, Progressed
from modules.domain.extras import ExtrasOutcome, ExtrasRequest
from modules.domain.merge import Merged, MergeRequest
from modules.domain.request import Generation
from modules.domain.result import Outcome, Produced
from modules.domain.visit import Visited, VisitRequest
from modules.engine.progress import Progress, fold
from modules.hooks.cancel import CancelReason, CancelToken

Payload: TypeAlias = Generation | MergeRequest | ExtrasRequest | VisitRequest
"""What a job can be asked to do; grows by a union member with each kind of job."""
Result: TypeAlias = Outcome | Merged | ExtrasOutcome | Visited
"""What a job gives back, by kind of payload."""
ResultT = TypeVar("ResultT", Outcome, Merged, ExtrasOutcome, Visited)


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not run"
    """Cancelled or left over before a worker took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who asked for a job."""

    source: str
    """"api" or "ui"."""
    client: str = ""
    """Network address; waiting jobs are counted against it."""
    user: str | None = None
    """Login name, None while nobody has to log in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An accepted request."""

    id: str
    kind: str
    """txt2img and, later, others."""
    payload: Payload
    owner: Owner
    accepted_at: float
    """Seconds since the epoch."""
    task_id: str
    """Name under which the client follows the job; need not be unique."""
    attended: bool = False
    """Its client waits for the answer on an open connection; once that is cut, nobody wants the result any more."""


class Cancelled(WebuiError):
    """The job was taken out of the queue before it ran."""


class JobHandle:
    """The live view of one job. Thread-safe; one worker writes, anyone reads.

    Only the newest progress and the newest preview are kept in the list of events, so a slow reader skips the older
    ones and a long job stays small.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.cancel_token = CancelToken()
        self.overtaken = 0
        """Jobs that came later and ran first."""
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self._changed = threading.Condition()
        self._events: list[Event | None] = []
        self._newest: dict[type[Event], int] = {}
        self._progress = Progress()
        self._state = JobState.QUEUED
        self._outcome: Result | None = None
        self._error: Exception | None = None
        self._polled_at = float("-inf")
        self._watchers: list[Callable[[], None]] = []

    @property
    def id(self) -> str:
        """The job's unique id."""
        return self.job.id

    @property
    def state(self) -> JobState:
        """Where the job stands now."""
        return self._state

    @property
    def done(self) -> bool:
        """True once nothing more will happen."""
        return self._state not in (JobState.QUEUED, JobState.RUNNING)

    @property
    def progress(self) -> Progress:
        """What the events so far add up to."""
        return self._progress

    @property
    def error(self) -> Exception | None:
        """Why the job failed, without the frames that would keep tensors alive."""
        return self._error

    @property
    def preview(self) -> Previewed | None:
        """The newest picture of the unfinished latent."""
        with self._changed:
            index = self._newest.get(Previewed)
            event = None if index is None else self._events[index]
        return event if isinstance(event, Previewed) else None

    def images(self) -> tuple[Produced, ...]:
        """Return the pictures made so far, the grid first once there is one."""
        outcome = self._outcome
        if isinstance(outcome, Outcome):
            return (*((outcome.grid,) if outcome.grid else ()), *outcome.images)
        if isinstance(outcome, ExtrasOutcome):
            return outcome.images
        with self._changed:
            return tuple(event.image for event in self._events if isinstance(event, ImageReady))

    def touch(self) -> None:
        """Note that somebody looks at the progress of this job; previews are made only for lookers."""
        self._polled_at = time.monotonic()

    def watched_within(self, seconds: float) -> bool:
        """Tell whether somebody looked during the last seconds."""
        return time.monotonic() - self._polled_at <= seconds

    def wait(self, timeout_s: float | None = None) -> Outcome:
        """Block until the job has ended.

        Raises:
            TimeoutError: it has not ended in time.
            Exception: what the job failed with; `Cancelled` or `ShuttingDown` when it never ran.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout_s):
                raise TimeoutError(f"job {self.id} is still {self._state.value}")
        return self.result()

    def result(self) -> Outcome:
        """Return the pictures of a job that has ended, or raise what it failed with."""
        return self.result_as(Outcome)

    def result_as(self, kind: type[ResultT]) -> ResultT:
        """Return what a job of another kind than pictures gave back, or raise what it failed with."""
        if self._error is not None:
            raise self._error
        if not isinstance(self._outcome, kind):
            raise RuntimeError(f"job {self.id} has not ended, or gives back something else")
        return self._outcome

    def when_done(self, call: Callable[[], None]) -> None:
        """Call a function once when the job has ended, from the thread that ended it; at once if it has."""
        with self._changed:
            if not self.done:
                self._watchers.append(call)
                return
        call()

    def numbered(self, start: int = 0) -> list[tuple[int, Event]]:
        """Return the events from an index on that were not superseded, each with its index."""
        with self._changed:
            return [(number, event) for number, event in enumerate(self._events[start:], start) if event is not None]

    def read(self, start: int = 0, timeout_s: float = 0.0) -> tuple[list[Event], int]:
        """Return the events from an index on, and the index to go on from; waits when there is none yet.

        Args:
            start: index given by the previous call, 0 for all.
            timeout_s: how long to wait for something new, seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._events) > start or self.done, timeout_s)
            return [event for event in self._events[start:] if event is not None], len(self._events)

    def events(self, start: int = 0) -> Iterator[Event]:
        """Yield events from an index on until the job has ended. Blocks while the job runs."""
        while True:
            found, start = self.read(start, timeout_s=60.0)
            yield from found
            if any(isinstance(event, TERMINAL) for event in found) or (not found and self.done):
                return

    def cancel(self, reason: CancelReason = CancelReason.INTERRUPT) -> None:
        """Ask a running job to end early; a waiting one is dropped by the desk."""
        self.cancel_token.set(reason)

    def add(self, event: Event) -> None:
        """Record an event. Only the worker calls this; terminal events are recorded by `end`."""
        if isinstance(event, TERMINAL):
            return
        with self._changed:
            self._append(event)
            self._changed.notify_all()

    def start(self, at: float) -> None:
        """Note that a worker took the job."""
        with self._changed:
            self.started_at, self._state = at, JobState.RUNNING
            self._changed.notify_all()

    def end(self, state: JobState, last: Event, *, outcome: Result | None, error: Exception | None, at: float) -> None:
        """Note how the job ended and wake everyone who waits."""
        with self._changed:
            if self.done:
                return
            self._outcome, self._error, self.ended_at = outcome, error, at
            self._append(last)
            self._state = state
            watchers, self._watchers = self._watchers, []
            self._changed.notify_all()
        for call in watchers:
            call()

    def _append(self, event: Event) -> None:
        if isinstance(event, Progressed | Previewed):
            older = self._newest.get(type(event))
            if older is not None:
                self._events[older] = None
            self._newest[type(event)] = len(self._events)
        self._events.append(event)
        self._progress = fold(self._progress, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """One line of the queue panel."""

    id: str
    task_id: str
    kind: str
    state: str
    position: int | None
    """1 for the next one to run, None for a job that does not wait."""
    owner: Owner
    accepted_at: float
    started_at: float | None
    ended_at: float | None
    fraction: float
    stage: str


def info_of(handle: JobHandle, position: int | None = None) -> JobInfo:
    """Describe a job for people."""
    job = handle.job
    return JobInfo(
        id=job.id, task_id=job.task_id, kind=job.kind, state=handle.state.value, position=position, owner=job.owner,
        accepted_at=job.accepted_at, started_at=handle.started_at, ended_at=handle.ended_at,
        fraction=handle.progress.fraction, stage=handle.progress.stage,
    )  # fmt: skip


def overrides_of(payload: Payload) -> Mapping[str, Any]:
    """Return the settings that a request changes for itself."""
    return payload.overrides if isinstance(payload, Generation) else {}


def files_of(result: Result) -> list[Path]:
    """Return the files that a job left."""
    if isinstance(result, Merged):
        return [result.path] if result.path is not None else []
    if isinstance(result, ExtrasOutcome):
        return result.saved
    if isinstance(result, Visited):
        return []
    pictures = (*result.images, *((result.grid,) if result.grid else ()))
    return [picture.saved_as for picture in pictures if picture.saved_as is not None]


def fault_of(result: Result) -> str:
    """Return why what a job made is not on disk; empty when it is."""
    return "" if isinstance(result, Merged | Visited) else result.save_error or ""


def without_frames(error: Exception) -> Exception:
    """Cut the traceback and the chained errors off, because their frames keep the tensors of a failed job alive."""
    seen: BaseException | None = error
    while seen is not None:
        following = seen.__cause__ or seen.__context__
        seen.__traceback__ = seen.__cause__ = seen.__context__ = None
        seen = following
    return error
