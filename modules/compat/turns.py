"""Turns of extensions: work outside of any job waits for its place in the program's queue, and is seen there."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from modules.compat.host import host, own_job
from modules.compat.state import State

if TYPE_CHECKING:
    from modules.hooks.context import JobContext

NAME = "extension"


class _Own(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.held: list[ExitStack] = []
        self.label, self.task = NAME, ""


_own = _Own()


@contextmanager
def called(label: str, task: str | None = None) -> Iterator[None]:
    """Name the turns that this thread takes inside.

    Args:
        label: for people.
        task: id under which the page follows it.
    """
    before = _own.label, _own.task
    _own.label, _own.task = label or NAME, task or ""
    try:
        yield
    finally:
        _own.label, _own.task = before


@contextmanager
def turn(*, joins: bool = True) -> "Iterator[JobContext]":
    """Have nothing else run meanwhile. Inside of a job there is nothing to wait for.

    Args:
        joins: take part in the turn that lasts, if one does, whoever has it.
    """
    from modules.engine.job import Owner

    bound, job = host(), own_job()
    known = job.ctx if job is not None else bound.turn if joins else None
    if known is not None:
        yield known
        return
    with bound.services().desk.visit(_own.label, Owner(source="ui"), _own.task or None) as ctx:
        bound.turn, bound.turn_state = ctx, State(ctx.cancel)
        try:
            yield ctx
        finally:
            bound.turn = bound.turn_state = None


class QueueLock:
    """`queue_lock`: held while work on the device runs. Who waits for it waits in the queue of jobs."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait for one's turn; the same thread may hold it several times.

        Args:
            blocking: False gives up at once if anything runs or waits.
            timeout: kept for callers; a place in the queue is not given up.
        """
        if not blocking and not _own.held and self.locked():
            return False
        stack = ExitStack()
        # A thread that holds the lock already is in its turn.
        if not _own.held:
            stack.enter_context(turn(joins=False))
        _own.held.append(stack)
        return True

    def release(self) -> None:
        """End one's turn.

        Raises:
            RuntimeError: this thread has none.
        """
        if not _own.held:
            raise RuntimeError("queue_lock is released by a thread that does not hold it")
        _own.held.pop().close()

    def locked(self) -> bool:
        """Tell whether anything runs or waits."""
        desk = host().services().desk
        return desk.current() is not None or bool(desk.waiting())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: Any) -> None:
        """End one's turn; what went wrong is told in the queue."""
        if not _own.held:
            raise RuntimeError("queue_lock is released by a thread that does not hold it")
        _own.held.pop().__exit__(*error)
