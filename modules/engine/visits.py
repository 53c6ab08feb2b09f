"""A turn in the queue for work on a thread of its own: the worker stands aside until that is done."""

import threading

from modules.domain.visit import Visited
from modules.hooks.context import JobContext


class Door:
    """Where a visitor waits for the worker, and the worker for the visitor to leave. Used once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._context: JobContext | None = None
        self._shut = self._left = False
        self._fault: BaseException | None = None

    def enter(self) -> JobContext | None:
        """Wait for one's turn; None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._context is not None or self._shut)
            return self._context

    def shut(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._shut = True
            self._changed.notify_all()

    def leave(self, fault: BaseException | None = None) -> None:
        """End the visit; a fault is what the work failed with."""
        with self._changed:
            self._left, self._fault = True, fault
            self._changed.notify_all()

    def host(self, context: JobContext) -> Visited:
        """Let the visitor in and wait until he has left; called by the worker.

        Raises:
            BaseException: what the visitor's work failed with.
        """
        with self._changed:
            self._context = context
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._left)
        if self._fault is not None:
            raise self._fault
        return Visited(interrupted=context.cancel.ends_job)
