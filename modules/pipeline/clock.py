"""Where the seconds of a job went."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Adds up wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what runs inside towards a stage; stages do not nest."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    @contextmanager
    def entering(self, stage: str, manager: AbstractContextManager[T]) -> Iterator[T]:
        """Count only the time it takes to enter a context towards a stage, not the time spent in it."""
        with ExitStack() as stack:
            with self(stage):
                value = stack.enter_context(manager)
            yield value
