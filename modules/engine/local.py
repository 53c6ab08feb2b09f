"""One worker thread in this process."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from traceback import format_exception
from typing import Any

from modules.domain.errors import ShuttingDown, WebuiError
from modules.domain.events import Event, Failed, Finished, Interrupted, Noted, Queued, Started
from modules.engine.job import (
    Cancelled,
    Job,
    JobHandle,
    JobState,
    Payload,
    Result,
    fault_of,
    files_of,
    overrides_of,
    without_frames,
)
from modules.engine.ledger import Ledger
from modules.engine.previews import preview_policy
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Hooks
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

Runner = Callable[[Payload, JobContext], Result]
"""Carries out one job; raises what goes wrong."""
TakeSnapshot = Callable[[Mapping[str, Any]], Snapshot]
"""Returns the settings of this moment with a request's overrides applied."""

KEEP_JOBS = 16
KEEP_S = 15 * 60
KEEP_BYTES = 512 << 20
"""Ended jobs are forgotten, oldest first, once there are more, they are older, or their pictures take more memory."""


class LocalEngine:
    """Takes jobs one after another and runs each on one thread.

    What an earlier run of the program left in the ledger is marked as interrupted or not run; it never runs again.

    Args:
        run: what carries out a job.
        snapshot: makes the settings for a job when it starts.
        ledger: told about every start and end.
        hooks: handlers of extensions, passed to each job.
    """

    def __init__(self, run: Runner, *, snapshot: TakeSnapshot, ledger: Ledger, hooks: Hooks | None = None) -> None:
        self._run, self._snapshot, self._ledger = run, snapshot, ledger
        self._hooks = hooks if hooks is not None else Hooks()
        self._changed = threading.Condition()
        self._queue: deque[JobHandle] = deque()
        self._running: JobHandle | None = None
        self._ended: deque[JobHandle] = deque()
        self._closing = False
        ledger.recover()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def submit(self, job: Job) -> JobHandle:
        """Queue a job.

        Raises:
            ShuttingDown: the engine no longer takes jobs.
        """
        handle = JobHandle(job)
        with self._changed:
            if self._closing:
                raise ShuttingDown("the server is stopping and takes no more jobs")
            self._ledger.accept(job)
            handle.add(Queued(job_id=job.id))
            self._queue.append(handle)
            self._changed.notify_all()
        return handle

    def waiting(self) -> Sequence[JobHandle]:
        """Return the jobs that wait, the next one first."""
        with self._changed:
            return tuple(self._queue)

    def running(self) -> JobHandle | None:
        """Return the job that runs now."""
        return self._running

    def recent(self) -> Sequence[JobHandle]:
        """Return the ended jobs that are still remembered, newest last."""
        with self._changed:
            self._forget_old()
            return tuple(self._ended)

    def find(self, name: str) -> JobHandle | None:
        """Return the newest job with this id or task id."""
        with self._changed:
            self._forget_old()
            known = [*self._ended, *((self._running,) if self._running else ()), *self._queue]
        return next((handle for handle in reversed(known) if name in (handle.id, handle.job.task_id)), None)

    def drop(self, job_id: str) -> bool:
        """Take a waiting job out of the queue."""
        with self._changed:
            handle = next((one for one in self._queue if one.id == job_id), None)
            if handle is None:
                return False
            self._queue.remove(handle)
            self._ended.append(handle)
        self._never_ran(handle, Cancelled("the job was cancelled before it started"))
        return True

    def cancel(self, reason: CancelReason, job_id: str | None = None) -> bool:
        """Ask the running job to end early."""
        with self._changed:
            handle = self._running
            if handle is None or job_id not in (None, handle.id):
                return False
            handle.cancel(reason)
            return True

    def shutdown(self, timeout_s: float, *, finish_running: bool = False) -> bool:
        """Stop taking jobs, give up those that wait, and end the worker."""
        with self._changed:
            self._closing = True
            left = list(self._queue)
            self._queue.clear()
            self._ended.extend(left)
            self._changed.notify_all()
        for handle in left:
            self._never_ran(handle, ShuttingDown("the server stopped before the job started"))
        if self._thread.ident is None:
            return True
        deadline = time.monotonic() + timeout_s
        if finish_running:
            self._thread.join(timeout_s)
            deadline = max(deadline, time.monotonic() + 2.0)
        self.cancel(CancelReason.INTERRUPT)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return
                handle = self._running = self._queue.popleft()
            try:
                self._serve(handle)
            except Exception:
                logger.exception("the end of job %s could not be recorded", handle.id)
                self._end_failed(handle, RuntimeError("the job ended but its end could not be recorded"))
            finally:
                with self._changed:
                    self._running = None
                    self._ended.append(handle)
                    self._forget_old()

    def _serve(self, handle: JobHandle) -> None:
        job, began, at = handle.job, time.monotonic(), time.time()
        if not self._ledger.claim(job.id, at):
            self._never_ran(handle, Cancelled("the job was taken by another worker"))
            return
        handle.start(at)
        handle.add(Started(job_id=job.id))
        try:
            outcome = self._run(job.payload, self._context(handle))
        except Exception as error:  # noqa: BLE001 - the job boundary: what went wrong belongs to this job alone
            _log_failure(job, error)
            self._failed(handle, without_frames(error))
        else:
            self._succeeded(handle, outcome)
        logger.info("job %s %s after %.2f s", job.id, handle.state.value, time.monotonic() - began)

    def _context(self, handle: JobHandle) -> JobContext:
        settings = self._snapshot(overrides_of(handle.job.payload))
        hooks = self._hooks.noting(lambda text: handle.add(Noted(job_id=handle.id, text=text)))
        return JobContext(
            job_id=handle.id, settings=settings, emit=handle.add, cancel=handle.cancel_token, hooks=hooks,
            wants_preview=preview_policy(settings.previews, handle),
        )  # fmt: skip

    def _succeeded(self, handle: JobHandle, outcome: Result) -> None:
        now = time.time()
        state = JobState.INTERRUPTED if outcome.interrupted else JobState.FINISHED
        last: Event = (Interrupted if outcome.interrupted else Finished)(job_id=handle.id)
        self._ledger.end(handle.id, state, now, files_of(outcome), fault_of(outcome))
        handle.end(state, last, outcome=outcome, error=None, at=now)

    def _failed(self, handle: JobHandle, error: Exception) -> None:
        files = [picture.saved_as for picture in handle.images() if picture.saved_as is not None]
        text = f"{type(error).__name__}: {_printable(error)}"
        self._ledger.end(handle.id, JobState.FAILED, time.time(), files, text)
        self._end_failed(handle, error)

    def _end_failed(self, handle: JobHandle, error: Exception) -> None:
        last = Failed(job_id=handle.id, error=type(error).__name__, message=_printable(error))
        handle.end(JobState.FAILED, last, outcome=None, error=error, at=time.time())

    def _never_ran(self, handle: JobHandle, error: WebuiError) -> None:
        now = time.time()
        self._ledger.end(handle.id, JobState.NOT_RUN, now, error=str(error))
        last = Failed(job_id=handle.id, error=type(error).__name__, message=str(error))
        handle.end(JobState.NOT_RUN, last, outcome=None, error=error, at=now)

    def _forget_old(self) -> None:
        now, kept_bytes = time.time(), 0
        keep: deque[JobHandle] = deque()
        for handle in reversed(self._ended):
            kept_bytes += sum(len(picture.data) for picture in handle.images())
            too_old = now - (handle.ended_at or now) > KEEP_S
            if too_old or len(keep) >= KEEP_JOBS or (keep and kept_bytes > KEEP_BYTES):
                break
            keep.appendleft(handle)
        self._ended = keep


def _printable(error: Exception) -> str:
    """Return the text of an error in characters that files, databases and browsers take."""
    return str(error).encode("utf-8", "backslashreplace").decode("utf-8")


def _log_failure(job: Job, error: Exception) -> None:
    """Log the traceback as text, because a log record that holds the error would hold the job's tensors."""
    if isinstance(error, WebuiError):
        logger.warning("job %s failed: %s: %s", job.id, type(error).__name__, _printable(error))
        logger.debug("%s", _trace(error))
    else:
        logger.error("job %s failed\n%s", job.id, _trace(error))


def _trace(error: Exception) -> str:
    return "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode("utf-8")
