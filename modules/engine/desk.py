"""The one door through which every request becomes a job, whoever sends it."""

import secrets
import string
import threading
import time
from collections.abc import Callable, Sequence

from modules.domain.errors import LimitExceeded, QueueFull, ShuttingDown
from modules.domain.limits import Limits, check
from modules.domain.merge import MergeRequest, check_merge
from modules.engine.engine import Engine
from modules.engine.job import Job, JobHandle, JobInfo, JobState, Owner, Payload, info_of, overrides_of
from modules.hooks.cancel import CancelReason
from modules.settings.limits import limits_of
from modules.settings.snapshot import Snapshot

MAX_TASK_ID = 200


class Desk:
    """Checks requests, refuses what is too much, and hands the rest to an engine in order of arrival.

    Args:
        engine: runs the jobs.
        settings: returns the settings of this moment.
        verify: looks up the names in a request and raises `UnknownName` for one that is not there.
    """

    def __init__(
        self, engine: Engine, settings: Callable[[], Snapshot], verify: Callable[[Payload], None] | None = None
    ) -> None:
        self._engine, self._settings, self._verify = engine, settings, verify
        self._lock = threading.Lock()
        self._open = True

    def accept(self, payload: Payload, owner: Owner, task_id: str | None = None, *, kind: str = "txt2img") -> JobHandle:
        """Check a request and queue it.

        Args:
            payload: the request, final: infotext and scripts already applied.
            owner: who asks; waiting jobs are counted per address.
            task_id: the client's own name for the job.
            kind: what is asked for, shown in lists.

        Raises:
            InvalidRequest: a value out of range, a limit exceeded, an override that is not possible.
            QueueFull: the queue, or the owner's share of it, is full.
            ShuttingDown: the server is stopping.
        """
        settings = self._settings()
        _check(payload, limits_of(settings))
        settings.with_overrides(overrides_of(payload), by="api" if owner.source == "api" else "local")
        if self._verify is not None:
            self._verify(payload)
        if task_id is not None and len(task_id) > MAX_TASK_ID:
            raise LimitExceeded("force_task_id", f"{len(task_id)} characters", MAX_TASK_ID)
        job = Job(
            id=secrets.token_hex(8), kind=kind, payload=payload, owner=owner, accepted_at=time.time(),
            task_id=task_id or new_task_id(kind),
        )  # fmt: skip
        with self._lock:
            self._check_room(owner, settings)
            return self._engine.submit(job)

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
        """Describe all known jobs: ended ones, the running one, and those that wait, in this order."""
        running = self._engine.running()
        lines = [info_of(handle) for handle in self._engine.recent() if handle is not running]
        if running is not None:
            lines.append(info_of(running))
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
    if isinstance(payload, MergeRequest):
        check_merge(payload)
    else:
        check(payload, limits)


def new_task_id(kind: str) -> str:
    """Make a task id in A1111's form: `task(txt2img-` and seven capital letters or digits."""
    tail = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(7))
    return f"task({kind}-{tail})"
