"""How a running job is asked to end early: one token, one reason, bound to one job."""

import threading
from enum import Enum


class CancelReason(Enum):
    """What was asked for."""

    SKIP = "skip"
    """End this batch, keep what it has, go on with the next."""
    STOP = "stop"
    """End after the current picture."""
    INTERRUPT = "interrupt"
    """End at the next step, keep what there is."""


class CancelToken:
    """Set by anyone, read by the job between steps. Thread-safe; stronger reasons replace weaker ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: CancelReason | None = None

    @property
    def reason(self) -> CancelReason | None:
        """The standing request, if any."""
        return self._reason

    def set(self, reason: CancelReason) -> None:
        """Ask the job to end; a later, weaker request does not undo a stronger one."""
        order = list(CancelReason)
        with self._lock:
            if self._reason is None or order.index(reason) > order.index(self._reason):
                self._reason = reason

    def clear_skip(self) -> None:
        """Forget a skip once the batch it was meant for has ended."""
        with self._lock:
            if self._reason is CancelReason.SKIP:
                self._reason = None

    @property
    def ends_batch(self) -> bool:
        """True when the sampling loop must stop after the current step."""
        return self._reason in (CancelReason.SKIP, CancelReason.INTERRUPT)

    @property
    def ends_job(self) -> bool:
        """True when no further batch may start."""
        return self._reason in (CancelReason.STOP, CancelReason.INTERRUPT)
