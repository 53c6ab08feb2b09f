"""Work that takes its time and is watched from the page: one piece at once, with all that it says."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from modules.domain.errors import InvalidRequest, WebuiError

logger = logging.getLogger(__name__)

MAX_LINES = 2000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkState:
    """What is known of the piece of work that runs, or ran last."""

    number: int = 0
    """0 when there was none."""
    title: str = ""
    lines: tuple[str, ...] = ()
    running: bool = False
    error: str = ""
    """Why it failed; empty while it runs and when it worked."""
    result: str = ""
    """What came of it, in a sentence."""


class Workbench:
    """Runs pieces of work in a thread of their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = WorkState()

    def begin(self, title: str, call: Callable[[Say], str]) -> WorkState:
        """Begin a piece of work.

        Args:
            title: what is done, for people.
            call: does it; is given what takes lines, and returns what came of it in a sentence.

        Raises:
            InvalidRequest: another piece runs.
        """
        with self._lock:
            if self._state.running:
                raise InvalidRequest(f"wait until this has ended: {self._state.title}")
            self._state = WorkState(number=self._state.number + 1, title=title, running=True)
            begun = self._state
        threading.Thread(target=self._run, args=(title, call), name="extensions", daemon=True).start()
        return begun

    def state(self) -> WorkState:
        """Return what is known now."""
        return self._state

    def _run(self, title: str, call: Callable[[Say], str]) -> None:
        logger.info("%s", title)
        error = result = ""
        try:
            result = call(self._say)
        except WebuiError as fault:
            error = str(fault)
        except Exception as fault:
            logger.exception("%s failed", title)
            error = f"{type(fault).__name__}: {fault}"
        if error:
            logger.warning("%s failed: %s", title, error)
        self._change(running=False, error=error, result=result)

    def _say(self, line: str) -> None:
        logger.info("%s", line)
        self._change(line=line)

    def _change(self, *, running: bool = True, error: str = "", result: str = "", line: str | None = None) -> None:
        with self._lock:
            now = self._state
            lines = now.lines if line is None else (*now.lines, line[:2000])[-MAX_LINES:]
            self._state = WorkState(
                number=now.number, title=now.title, lines=lines, running=running, error=error, result=result
            )
