"""What every way of running jobs offers, whether in this process, in others or on other machines."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from modules.engine.job import Job, JobHandle
from modules.engine.tally import Tally
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext


class Engine(Protocol):
    """Runs jobs in the order in which they were submitted, unless the settings or somebody by hand want another."""

    left_over: Sequence[str]
    """Ids of the jobs that waited when an earlier run of the program ended, the next one first."""
    tally: Tally
    """Counts what happened."""

    @property
    def alive(self) -> bool:
        """Whether jobs that are submitted will run."""
        ...

    def submit(self, job: Job) -> JobHandle:
        """Queue a job and return its handle."""
        ...

    def visit(self, job: Job) -> AbstractContextManager[JobContext]:
        """Wait in the queue with a job, and let the calling thread do its work in the worker's place."""
        ...

    def restore(self, job: Job) -> JobHandle | None:
        """Queue a job of an earlier run that never ran; None when somebody else did so already."""
        ...

    def waiting(self) -> Sequence[JobHandle]:
        """Return the jobs no worker has taken yet, the next one first."""
        ...

    def running(self) -> JobHandle | None:
        """Return the job that runs now; the longest running one where there are several workers."""
        ...

    def active(self) -> Sequence[JobHandle]:
        """Return the jobs that have started and not ended, the newest last."""
        ...

    def recent(self) -> Sequence[JobHandle]:
        """Return the jobs that ended and are still remembered, newest last."""
        ...

    def find(self, name: str) -> JobHandle | None:
        """Return the newest job with this id or task id, None when it is not remembered."""
        ...

    def forget(self, job_id: str) -> bool:
        """Forget an ended job and its pictures in memory."""
        ...

    @property
    def paused(self) -> bool:
        """Whether jobs that wait are held back."""
        ...

    def pause(self) -> None:
        """Start no further job; those that run go on."""
        ...

    def resume(self) -> None:
        """Start jobs again."""
        ...

    def move(self, job_id: str, index: int) -> bool:
        """Put a waiting job elsewhere in the queue, 0 for the front; False when it does not wait."""
        ...

    def drop(self, job_id: str) -> bool:
        """Take a waiting job out of the queue; False when it does not wait."""
        ...

    def cancel(self, reason: CancelReason, job_id: str | None = None) -> bool:
        """Ask a job to end early.

        Args:
            reason: interrupt, skip or stop.
            job_id: None means whatever runs at this moment; jobs that wait are not touched then.

        Returns:
            False when there is no such running job.
        """
        ...

    def shutdown(self, timeout_s: float, *, finish_running: bool = False) -> bool:
        """Stop taking jobs and end.

        Args:
            timeout_s: how long to wait for the running job.
            finish_running: wait for it to end by itself first; otherwise it is interrupted at once.

        Returns:
            True when the worker has ended.
        """
        ...
