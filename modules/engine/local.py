"""One worker thread in this process."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from functools import partial
from typing import Any

from modules.domain.errors import ShuttingDown
from modules.domain.events import Event, ImageReady, Noted, Queued, Started
from modules.domain.result import Unfinished
from modules.engine.endings import Endings
from modules.engine.job import Cancelled, Job, JobHandle, Payload, Result, overrides_of
from modules.engine.ledger import Ledger
from modules.engine.order import next_index, take
from modules.engine.previews import preview_policy
from modules.engine.remembered import Remembered
from modules.engine.tally import Tally
from modules.engine.visits import Door
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Hooks
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

Runner = Callable[[Payload, JobContext], Result | Unfinished]
"""Carries out one job; raises what goes wrong."""
TakeSnapshot = Callable[[Mapping[str, Any]], Snapshot]
"""Returns the settings of this moment with a request's overrides applied."""


class LocalEngine:
    """Takes jobs one after another and runs each on one thread.

    A job whose pictures are still being encoded and saved makes room for the next one, which may take the worker
    meanwhile. What an earlier run of the program left in the ledger is marked as interrupted or not run.

    Args:
        run: what carries out a job.
        snapshot: makes the settings for a job when it starts.
        ledger: told about every start and end.
        hooks: handlers of extensions, passed to each job.
        model_of: names the model that a job will use, the same for all names of one file; for grouping by model.
    """

    def __init__(
        self,
        run: Runner,
        *,
        snapshot: TakeSnapshot,
        ledger: Ledger,
        hooks: Hooks | None = None,
        model_of: Callable[[Job], str] = lambda _job: "",
    ) -> None:
        self._run, self._snapshot, self._ledger, self._model_of = run, snapshot, ledger, model_of
        self._hooks = hooks if hooks is not None else Hooks()
        self._changed = threading.Condition()
        self._queue: list[JobHandle] = []
        self._active: list[JobHandle] = []
        self._ended = Remembered()
        self._closing = self._paused = False
        self._doors: dict[str, Door] = {}
        self._loaded = ""
        self.tally = Tally()
        self._endings = Endings(ledger, self.tally)
        self.left_over: Sequence[str] = ledger.recover().waiting
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="finish")
        self._finishing: Future[None] | None = None
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether jobs that are submitted will run."""
        return self._thread.is_alive() and not self._closing

    def submit(self, job: Job) -> JobHandle:
        """Queue a job.

        Raises:
            ShuttingDown: the engine no longer takes jobs.
        """
        self._ledger.accept(job)
        return self._enter(job)

    def restore(self, job: Job) -> JobHandle | None:
        """Queue a job of an earlier run that never ran; None when somebody else did so already."""
        return self._enter(job) if self._ledger.requeue(job.id) else None

    def _enter(self, job: Job) -> JobHandle:
        handle = JobHandle(job)
        with self._changed:
            closing = self._closing
            if not closing:
                handle.add(Queued(job_id=job.id))
                self._queue.append(handle)
                self._changed.notify_all()
        if closing:
            error = ShuttingDown("the server is stopping and takes no more jobs")
            self._endings.never_ran(handle, error)
            raise error
        return handle

    @contextmanager
    def visit(self, job: Job) -> Generator[JobContext]:
        """Wait in the queue with a job and hold the worker while the block runs on the calling thread.

        Raises:
            ShuttingDown: the engine no longer takes jobs.
            Cancelled: the job was taken out of the queue.
        """
        if threading.current_thread() is self._thread:
            # Whoever asks on the worker is a part of the job that runs.
            yield self._context(self._active[-1])
            return
        door = self._doors[job.id] = Door()
        try:
            handle = self.submit(job)
            handle.when_done(door.shut)
            context = door.enter()
            if context is None:
                raise handle.error or Cancelled("the job was cancelled before it started")
            try:
                yield context
            except BaseException as fault:
                door.leave(fault)
                raise
            door.leave()
        finally:
            del self._doors[job.id]

    def waiting(self) -> Sequence[JobHandle]:
        """Return the jobs that wait, the next one first."""
        with self._changed:
            return tuple(self._queue)

    def running(self) -> JobHandle | None:
        """Return the job that runs now."""
        active = self.active()
        return active[-1] if active else None

    def active(self) -> Sequence[JobHandle]:
        """Return the jobs that have started and not ended, the one on the worker last."""
        with self._changed:
            return tuple(self._active)

    def recent(self) -> Sequence[JobHandle]:
        """Return the ended jobs that are still remembered, newest last."""
        with self._changed:
            return self._ended.all()

    def find(self, name: str) -> JobHandle | None:
        """Return the newest job with this id or task id."""
        with self._changed:
            known = [*self._ended.all(), *self._active, *self._queue]
        return next((handle for handle in reversed(known) if name in (handle.id, handle.job.task_id)), None)

    def forget(self, job_id: str) -> bool:
        """Forget an ended job and its pictures in memory."""
        with self._changed:
            return self._ended.remove(job_id)

    @property
    def paused(self) -> bool:
        """Whether jobs that wait are held back."""
        return self._paused

    def pause(self) -> None:
        """Start no further job; the one that runs goes on."""
        self._set_paused(True)

    def resume(self) -> None:
        """Start jobs again."""
        self._set_paused(False)

    def _set_paused(self, value: bool) -> None:
        with self._changed:
            self._paused = value
            self._changed.notify_all()
        self._ledger.paused = value

    def move(self, job_id: str, index: int) -> bool:
        """Put a waiting job elsewhere in the queue, 0 for the front; False when it does not wait."""
        with self._changed:
            handle = next((one for one in self._queue if one.id == job_id), None)
            if handle is None:
                return False
            self._queue.remove(handle)
            self._queue.insert(index, handle)
            order = [one.id for one in self._queue]
        self._ledger.order(order)
        return True

    def drop(self, job_id: str) -> bool:
        """Take a waiting job out of the queue."""
        with self._changed:
            handle = next((one for one in self._queue if one.id == job_id), None)
            if handle is None:
                return False
            self._queue.remove(handle)
            self._ended.add(handle)
        self._endings.never_ran(handle, Cancelled("the job was cancelled before it started"))
        return True

    def cancel(self, reason: CancelReason, job_id: str | None = None) -> bool:
        """Ask a running job to end early; without an id the one on the worker."""
        with self._changed:
            wanted = [one for one in self._active if job_id in (None, one.id)][-1:]
            for handle in wanted:
                handle.cancel(reason)
            return bool(wanted)

    def shutdown(self, timeout_s: float, *, finish_running: bool = False) -> bool:
        """Stop taking jobs, give up those that wait, and end the worker."""
        with self._changed:
            self._closing = True
            left, self._queue = self._queue, []
            for handle in left:
                self._ended.add(handle)
            self._changed.notify_all()
        resumes = self._snapshot({}).system.queue_resume_after_restart
        for handle in left:
            error = ShuttingDown("the server stopped before the job started")
            self._endings.never_ran(handle, error, waits=resumes and not handle.job.attended)
        if self._thread.ident is None:
            return True
        deadline = time.monotonic() + timeout_s
        if finish_running:
            self._thread.join(timeout_s)
            deadline = max(deadline, time.monotonic() + 2.0)
        self.cancel(CancelReason.INTERRUPT)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._finishing is not None:
            wait_for([self._finishing], max(0.0, deadline - time.monotonic()))
        self._beside.shutdown(wait=False)
        return not self._thread.is_alive() and not self.active()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or (self._queue and not self._paused))
                if self._closing:
                    return
                handle = take(self._queue, self._next())
                self._active.append(handle)
            self._recorded(handle, self._serve)

    def _next(self) -> int:
        system = self._snapshot({}).system
        if not system.queue_group_by_model or len(self._queue) == 1:
            return 0
        return next_index(self._queue, self._loaded, self._model_of, system.queue_max_overtakes)

    def _recorded(self, handle: JobHandle, call: Callable[[JobHandle], bool]) -> None:
        """Do something for a job; whatever happens, the job is out of the way when it has ended."""
        ended = True
        try:
            ended = call(handle)
        except Exception:  # noqa: BLE001 - a fault while a job's end is written must not end the worker
            self._endings.unrecorded(handle)
        finally:
            if ended:
                with self._changed:
                    self._active.remove(handle)
                    self._ended.add(handle)

    def _serve(self, handle: JobHandle) -> bool:
        """Run a job; False when it is not over yet, because its pictures are being finished elsewhere."""
        job, at = handle.job, time.time()
        if not self._ledger.claim(job.id, at):
            self._endings.never_ran(handle, Cancelled("the job was taken by another worker"))
            return True
        handle.start(at)
        handle.add(Started(job_id=job.id))
        try:
            door, context = self._doors.get(job.id), self._context(handle)
            result = door.host(context) if door is not None else self._run(job.payload, context)
        except BaseException as fault:  # noqa: BLE001 - the job boundary: what went wrong belongs to this job alone
            self._endings.failed(handle, fault)
            return _logged(handle)
        self._loaded = self._model_of(job) or self._loaded
        if not isinstance(result, Unfinished):
            self._endings.succeeded(handle, result)
            return _logged(handle)
        self._finish_beside(handle, result)
        return False

    def _finish_beside(self, handle: JobHandle, unfinished: Unfinished) -> None:
        """Finish a job on the other thread; only one at a time, so that pictures do not pile up in memory."""
        if self._finishing is not None:
            self._finishing.result()

        def finish(handle: JobHandle) -> bool:
            try:
                outcome = unfinished.finish()
            except BaseException as fault:  # noqa: BLE001 - the job boundary, as on the worker
                self._endings.failed(handle, fault)
            else:
                self._endings.succeeded(handle, outcome)
            return _logged(handle)

        self._finishing = self._beside.submit(self._recorded, handle, finish)

    def _context(self, handle: JobHandle) -> JobContext:
        settings = self._snapshot(overrides_of(handle.job.payload))
        hooks = self._hooks.noting(lambda text: handle.add(Noted(job_id=handle.id, text=text)))
        return JobContext(
            job_id=handle.id, settings=settings, emit=partial(self._told, handle), cancel=handle.cancel_token, hooks=hooks,
            wants_preview=preview_policy(settings.previews, handle),
        )  # fmt: skip

    def _told(self, handle: JobHandle, event: Event) -> None:
        """Pass an event on; files are written down at once, so that a crash does not lose sight of them."""
        handle.add(event)
        if isinstance(event, ImageReady) and event.image.saved_as is not None:
            saved = (picture.saved_as for picture in handle.images())
            self._ledger.saved(handle.id, [path for path in saved if path is not None])


def _logged(handle: JobHandle) -> bool:
    taken = (handle.ended_at or 0.0) - (handle.started_at or 0.0)
    logger.info("job %s %s after %.2f s", handle.id, handle.state.value, taken)
    return True
