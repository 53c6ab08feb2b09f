"""How a job ends: written to the ledger, told to whoever watches, counted."""

import logging
import time
from pathlib import Path
from traceback import format_exception

from modules.domain.errors import WebuiError
from modules.domain.events import Event, Failed, Finished, Interrupted
from modules.domain.visit import Visited
from modules.engine.job import Job, JobHandle, JobState, Result, fault_of, files_of, without_frames
from modules.engine.ledger import Ledger
from modules.engine.tally import Tally

logger = logging.getLogger(__name__)


class Endings:
    """Ends jobs. Called from any thread, once for each job.

    Args:
        ledger: where ends are written.
        tally: where ends are counted.
    """

    def __init__(self, ledger: Ledger, tally: Tally) -> None:
        self._ledger, self._tally = ledger, tally

    def succeeded(self, handle: JobHandle, result: Result) -> None:
        """End a job that gave something back, perhaps less than was asked for."""
        now = time.time()
        state = JobState.INTERRUPTED if result.interrupted else JobState.FINISHED
        last: Event = (Interrupted if result.interrupted else Finished)(job_id=handle.id)
        files = _saved(handle) if isinstance(result, Visited) else files_of(result)
        self._ledger.end(handle.id, state, now, files, fault_of(result))
        handle.end(state, last, outcome=result, error=None, at=now)
        self._tally.ended(handle, result)

    def failed(self, handle: JobHandle, fault: BaseException) -> None:
        """End a job that raised; whatever tries to end the program from inside a job ends only the job."""
        error = fault if isinstance(fault, Exception) else RuntimeError(f"the job raised {type(fault).__name__}")
        _log_failure(handle.job, fault)
        files = _saved(handle)
        text = f"{type(error).__name__}: {_printable(error)}"
        error = without_frames(error)
        self._ledger.end(handle.id, JobState.FAILED, time.time(), files, text)
        self._end(handle, JobState.FAILED, error)

    def unrecorded(self, handle: JobHandle) -> None:
        """End a job whose end could not be recorded for a reason that nobody foresaw."""
        logger.exception("the end of job %s could not be recorded", handle.id)
        self._end(handle, JobState.FAILED, RuntimeError("the job ended but its end could not be recorded"))

    def never_ran(self, handle: JobHandle, error: WebuiError, *, waits: bool = False) -> None:
        """End a job that no worker took.

        Args:
            handle: the job.
            error: why.
            waits: leave it waiting in the ledger, for the next run of the program.
        """
        if not waits:
            self._ledger.end(handle.id, JobState.NOT_RUN, time.time(), error=str(error))
        self._end(handle, JobState.NOT_RUN, error)

    def _end(self, handle: JobHandle, state: JobState, error: Exception) -> None:
        last = Failed(job_id=handle.id, error=type(error).__name__, message=_printable(error))
        handle.end(state, last, outcome=None, error=error, at=time.time())
        self._tally.ended(handle, None)


def _saved(handle: JobHandle) -> list[Path]:
    """Return the files of the pictures that a job told of."""
    return [picture.saved_as for picture in handle.images() if picture.saved_as is not None]


def _printable(error: Exception) -> str:
    """Return the text of an error in characters that files, databases and browsers take."""
    return str(error).encode("utf-8", "backslashreplace").decode("utf-8")


def _log_failure(job: Job, error: BaseException) -> None:
    """Log the traceback as text, because a log record that holds the error would hold the job's tensors."""
    if isinstance(error, WebuiError):
        logger.warning("job %s failed: %s: %s", job.id, type(error).__name__, _printable(error))
        logger.debug("%s", _trace(error))
    else:
        logger.error("job %s failed\n%s", job.id, _trace(error))


def _trace(error: BaseException) -> str:
    return "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode("utf-8")
