"""`modules.call_queue` and `modules.progress`: work of extensions that takes its turn."""

import functools
import html
import logging
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from modules.compat.host import host
from modules.compat.state import state_now
from modules.compat.turns import called
from modules.engine.job import JobState

logger = logging.getLogger(__name__)


def wrap_queued_call(func: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function wait for its turn."""

    @functools.wraps(func)
    def call(*arguments: Any, **more: Any) -> Any:
        from modules.compat.host import facade

        with called(_name(func)), facade("call_queue").queue_lock:
            return func(*arguments, **more)

    return call


def wrap_gradio_gpu_call(func: Callable[..., Any], extra_outputs: Any = None) -> Callable[..., Any]:
    """Let a handler, whose first argument may be the id of a task, wait for its turn; errors become markup."""

    @functools.wraps(func)
    def call(*arguments: Any, **more: Any) -> Any:
        from modules.compat.host import facade

        progress = facade("progress")
        first = arguments[0] if arguments and isinstance(arguments[0], str) else None
        task = first if first is not None and first.startswith("task(") else None
        if task:
            progress.add_task_to_queue(task)
        with called(_name(func), task), facade("call_queue").queue_lock:
            state_now().begin(job=task or "(unknown)")
            if task:
                progress.start_task(task)
            try:
                return func(*arguments, **more)
            finally:
                if task:
                    progress.finish_task(task)
                state_now().end()

    return wrap_gradio_call(call, extra_outputs=extra_outputs, add_stats=True)


def _name(func: Callable[..., Any]) -> str:
    return str(getattr(func, "__qualname__", type(func).__name__)).rpartition("<locals>.")[2]


def _place(handle: Any) -> str:
    desk = host().services().desk
    return f"{desk.position(handle) or 1}/{max(len(desk.waiting()), 1)}"


def wrap_gradio_call(func: Callable[..., Any], extra_outputs: Any = None, add_stats: bool = False) -> Callable[..., Any]:  # fmt: skip
    """Turn errors of a handler into markup in its last output."""

    @functools.wraps(func)
    def call(*arguments: Any, **more: Any) -> Any:
        try:
            return list(func(*arguments, **more))
        except Exception as error:
            logger.error("a handler of an extension failed", exc_info=error)
            outputs = [None, ""] if extra_outputs is None else list(extra_outputs)
            return [*outputs, f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"]

    return call


wrap_gradio_call_no_job = wrap_gradio_call


class ProgressRequest(BaseModel):
    """Asks how far a task is."""

    id_task: str | None = None
    id_live_preview: int = -1
    live_preview: bool = True


class ProgressResponse(BaseModel):
    """Tells how far a task is."""

    active: bool = False
    queued: bool = False
    completed: bool = False
    progress: float | None = None
    eta: float | None = None
    live_preview: str | None = None
    id_live_preview: int | None = None
    textinfo: str | None = None


class Progress:
    """The tasks of extensions."""

    def __init__(self) -> None:
        self.current: str | None = None
        self.pending: dict[str, float] = {}
        self.finished: list[str] = []
        self.results: list[tuple[str, Any]] = []

    def add(self, id_job: str) -> None:
        """Note that a task waits."""
        self.pending[id_job] = time.time()

    def start(self, id_task: str) -> None:
        """Note that a task runs."""
        self.current = id_task
        self.pending.pop(id_task, None)

    def finish(self, id_task: str) -> None:
        """Note that a task has ended."""
        if self.current == id_task:
            self.current = None
        self.finished = [*self.finished, id_task][-16:]

    def record(self, id_task: str, res: Any) -> None:
        """Keep the results of a task for a while."""
        self.results[:] = [*self.results, (id_task, res)][-2:]

    def tell(self, req: Any) -> ProgressResponse:
        """Tell how far a task is; those of the program's own queue are asked there."""
        handle = host().services().engine.find(req.id_task) if req.id_task else None
        if handle is not None:
            seen, waits = handle.progress, handle.state is JobState.QUEUED
            handle.touch()
            return ProgressResponse(
                active=not handle.done and not waits, queued=waits, completed=handle.done, progress=seen.fraction,
                eta=seen.eta_s(time.monotonic()), textinfo=f"In queue: {_place(handle)}" if waits else seen.stage or None,
            )  # fmt: skip
        return ProgressResponse(
            active=req.id_task == self.current,
            queued=req.id_task in self.pending,
            completed=req.id_task in self.finished,
        )
