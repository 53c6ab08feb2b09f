"""The one door through which every request becomes a job, whoever sends it."""

import logging
import secrets
import string
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from modules.domain.errors import InvalidRequest, LimitExceeded, QueueFull, ShuttingDown, UnknownName
from modules.domain.extras import ExtrasRequest, check_extras
from modules.domain.limits import Limits, check
from modules.domain.merge import MergeRequest, check_merge
from modules.domain.request import Generation
from modules.domain.visit import VisitRequest
from modules.engine.earlier import job_of, payload_of
from modules.engine.engine import Engine
from modules.engine.job import Job, JobHandle, JobInfo, JobState, Owner, Payload, info_of, overrides_of
from modules.engine.ledger import Entry, Ledger
from modules.engine.order import allowed_index
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Hooks
from modules.hooks.points import RequestAccepted
from modules.settings.limits import limits_of
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

MAX_TASK_ID = 200
VISIT = "visit"
"""Kind of the jobs of `Desk.visit`."""


class Desk:
    """Checks requests, refuses what is too much, and hands the rest to an engine in order of arrival.

    Args:
        engine: runs the jobs.
        settings: returns the settings of this moment.
        verify: looks up the names in a request and raises `UnknownName` for one that is not there.
        ledger: knows the jobs of earlier runs of the program; without one there were none.
        hooks: handlers of extensions, which may revise requests.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Callable[[], Snapshot],
        verify: Callable[[Payload], None] | None = None,
        *,
        ledger: Ledger | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._engine, self._settings, self._verify, self._ledger = engine, settings, verify, ledger
        self._hooks = hooks if hooks is not None else Hooks()
        self._lock = threading.Lock()
        self._open = True

    def take_up(self) -> int:
        """Queue what waited when an earlier run of the program ended, if the settings want that.

        Jobs whose client held the line stay as they are: nobody waits for them any more. A queue that was paused stays
        paused as long as there is something in it. Call it before the engine starts.

        Returns:
            The number of jobs that wait again.
        """
        resumes = self._settings().system.queue_resume_after_restart
        names = self._engine.left_over if resumes else ()
        taken = sum(self._take_up(name) for name in names)
        if taken and self._ledger is not None and self._ledger.paused:
            self._engine.pause()
        return taken

    def _take_up(self, name: str) -> bool:
        entry = self._ledger.find(name) if self._ledger is not None else None
        if entry is None or self._ledger is None or entry.attended:
            return False
        try:
            return self._engine.restore(job_of(entry, self._ledger)) is not None
        except InvalidRequest as error:
            logger.warning("job %s of the last run cannot be run again: %s", name, error)
            return False

    def accept(
        self,
        payload: Payload,
        owner: Owner,
        task_id: str | None = None,
        *,
        kind: str = "txt2img",
        attended: bool = False,
    ) -> JobHandle:
        """Check a request and queue it.

        Args:
            payload: the request, final: infotext and scripts already applied.
            owner: who asks; waiting jobs are counted per address.
            task_id: the client's own name for the job.
            kind: what is asked for, shown in lists.
            attended: the client waits for the answer on this connection.

        Raises:
            InvalidRequest: a value out of range, a limit exceeded, an override that is not possible.
            QueueFull: the queue, or the owner's share of it, is full.
            ShuttingDown: the server is stopping.
        """
        if isinstance(payload, Generation) and self._hooks.has(RequestAccepted):
            payload = self._hooks.run(RequestAccepted(request=payload, source=owner.source)).request
        settings = self._settings()
        _check(payload, limits_of(settings))
        settings.with_overrides(overrides_of(payload), by="api" if owner.source == "api" else "local")
        if self._verify is not None:
            self._verify(payload)
        if task_id is not None and len(task_id) > MAX_TASK_ID:
            raise LimitExceeded("force_task_id", f"{len(task_id)} characters", MAX_TASK_ID)
        job = Job(
            id=secrets.token_hex(8), kind=kind, payload=payload, owner=owner, accepted_at=time.time(),
            task_id=task_id or new_task_id(kind), attended=attended,
        )  # fmt: skip
        with self._lock:
            self._check_room(owner, settings)
            return self._engine.submit(job)

    @contextmanager
    def visit(self, label: str, owner: Owner, task_id: str | None = None) -> Generator[JobContext]:
        """Wait for a turn among the jobs, and have nothing else run while the block does its work on this thread.

        It can be followed and interrupted like a job: the context has its token and takes its events.

        Args:
            label: what the work is called.
            owner: who asks.
            task_id: the client's own name for it.

        Raises:
            QueueFull: see `accept`.
            ShuttingDown: the server is stopping.
            Cancelled: somebody took it out of the queue.
        """
        job = Job(
            id=secrets.token_hex(8), kind=VISIT, payload=VisitRequest(label=label), owner=owner, accepted_at=time.time(),
            task_id=task_id or new_task_id(VISIT), attended=True,
        )  # fmt: skip
        with self._lock:
            self._check_room(owner, self._settings())
        with self._engine.visit(job) as context:
            yield context

    def find(self, name: str) -> JobHandle | None:
        """Return the newest job with this id or task id, None when it is not remembered."""
        return self._engine.find(name)

    def current(self) -> JobHandle | None:
        """Return the job that runs now."""
        return self._engine.running()

    def position(self, handle: JobHandle) -> int | None:
        """Return the place in the queue, 1 for the next job to run; None for a job that does not wait."""
        waiting = self._engine.waiting()
        return next((place for place, one in enumerate(waiting, 1) if one is handle), None)

    def waiting(self) -> Sequence[JobHandle]:
        """Return the jobs that wait, the next one first."""
        return self._engine.waiting()

    def jobs(self) -> list[JobInfo]:
        """Describe all known jobs: ended ones, the running ones, and those that wait, in this order."""
        running = self._engine.active()
        ended = [handle for handle in self._engine.recent() if handle not in running]
        lines = [info_of(handle) for handle in (*ended, *running)]
        return lines + [info_of(handle, place) for place, handle in enumerate(self._engine.waiting(), 1)]

    def cancel(self, job_id: str) -> bool:
        """Drop a waiting job or interrupt a running one; False when the job is neither."""
        return self._engine.drop(job_id) or self._engine.cancel(CancelReason.INTERRUPT, job_id)

    def interrupt(self, job_id: str | None = None) -> bool:
        """End a running job at its next step; without an id, whatever runs now."""
        return self._engine.cancel(CancelReason.INTERRUPT, job_id)

    def skip(self, job_id: str | None = None) -> bool:
        """End the batch that runs and go on with the next."""
        return self._engine.cancel(CancelReason.SKIP, job_id)

    def stop(self, job_id: str | None = None) -> bool:
        """End a running job after its current picture."""
        return self._engine.cancel(CancelReason.STOP, job_id)

    @property
    def paused(self) -> bool:
        """Whether jobs that wait are held back."""
        return self._engine.paused

    def pause(self) -> None:
        """Start no further job; the one that runs goes on."""
        self._engine.pause()

    def resume(self) -> None:
        """Start jobs again."""
        self._engine.resume()

    def move(self, job_id: str, place: int) -> int | None:
        """Move a waiting job.

        Args:
            job_id: the job.
            place: where to, 1 for the next job to run. No job overtakes those of other people.

        Returns:
            Its new place; None when it does not wait.
        """
        with self._lock:
            waiting = self._engine.waiting()
            index = next((number for number, one in enumerate(waiting) if one.id == job_id), None)
            if index is None:
                return None
            wanted = allowed_index(waiting, index, place - 1)
            return wanted + 1 if self._engine.move(job_id, wanted) else None

    def again(self, name: str, owner: Owner) -> JobHandle:
        """Queue the request of a job once more, whether that job waits, runs, has ended or never ran.

        Raises:
            UnknownName: there is no such job of this owner.
            InvalidRequest: what the job brought along is gone, or its request is not possible any more.
            QueueFull: see `accept`.
        """
        handle, entry = self.find(name), self.entry(name)
        if handle is not None and handle.job.owner.user == owner.user:
            return self.accept(handle.job.payload, owner, kind=handle.job.kind)
        if entry is None or self._ledger is None or entry.owner.user != owner.user:
            raise UnknownName("Job", name, field="job")
        return self.accept(payload_of(entry, self._ledger), owner, kind=entry.kind)

    def entry(self, name: str) -> Entry | None:
        """Return what the ledger knows of a job, also of one of an earlier run."""
        return self._ledger.find(name) if self._ledger is not None else None

    def entries(
        self, count: int, *, user: str | None, before: int | None = None, states: Sequence[JobState] = ()
    ) -> list[Entry]:
        """Return the newest jobs of a user, also those of earlier runs, newest first; see `Ledger.entries`."""
        if self._ledger is None:
            return []
        return self._ledger.entries(count, before=before, states=states, user=user, whose=True)

    def forget(self, job_id: str) -> bool:
        """Take an ended job out of every list; its files stay. False when it has not ended, or is not known."""
        handle = self.find(job_id)
        if handle is not None and not handle.done:
            return False
        here = self._engine.forget(job_id)
        return (self._ledger.forget(job_id) if self._ledger is not None else False) or here

    def close(self) -> None:
        """Refuse every further request."""
        with self._lock:
            self._open = False

    def _check_room(self, owner: Owner, settings: Snapshot) -> None:
        if not self._open:
            raise ShuttingDown("the server is stopping and takes no more jobs")
        waiting = self._engine.waiting()
        most, share = settings.system.queue_max_jobs, settings.system.queue_max_jobs_per_client
        if len(waiting) >= most:
            raise QueueFull(f"{most} jobs are waiting already (setting queue_max_jobs); try again later")
        own = sum(1 for one in waiting if one.job.owner.client == owner.client and one.state is JobState.QUEUED)
        if owner.client and own >= share:
            raise QueueFull(f"{own} of your jobs are waiting already (setting queue_max_jobs_per_client)")


def _check(payload: Payload, limits: Limits) -> None:
    if isinstance(payload, VisitRequest):
        raise InvalidRequest("an extension did this work by itself; start it there again")
    if isinstance(payload, MergeRequest):
        check_merge(payload)
    elif isinstance(payload, ExtrasRequest):
        check_extras(payload, limits)
    else:
        check(payload, limits)


def new_task_id(kind: str) -> str:
    """Make a task id in A1111's form: `task(txt2img-` and seven capital letters or digits."""
    tail = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(7))
    return f"task({kind}-{tail})"
