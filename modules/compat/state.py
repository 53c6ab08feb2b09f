"""`shared.state`: where the running job stands, and how it is asked to end."""

import threading
import time
from typing import TYPE_CHECKING, Any

from modules.compat.host import current_job, host
from modules.hooks.cancel import CancelReason, CancelToken

if TYPE_CHECKING:
    from PIL.Image import Image


class State:
    """What A1111 knows of one job. Extensions read and assign everything here."""

    def __init__(self, cancel: CancelToken | None = None) -> None:
        self._cancel = cancel or CancelToken()
        self.job = ""
        self.job_no = 0
        self.job_count = 0
        self.processing_has_refined_job_count = False
        self.job_timestamp = "0"
        self.sampling_step = 0
        self.sampling_steps = 0
        self.current_latent: Any = None
        self.current_image: Image | None = None
        self.current_image_sampling_step = 0
        self.id_live_preview = 0
        self.textinfo: str | None = None
        self.time_start: float | None = None
        self.server_start: float | None = None
        self.need_restart = False
        self.oom = False

    @property
    def interrupted(self) -> bool:
        """Whether the job was asked to end."""
        return self._cancel.reason is CancelReason.INTERRUPT

    @interrupted.setter
    def interrupted(self, value: bool) -> None:
        if value:
            self._cancel.set(CancelReason.INTERRUPT)

    @property
    def skipped(self) -> bool:
        """Whether the batch was asked to end."""
        return self._cancel.reason is CancelReason.SKIP

    @skipped.setter
    def skipped(self, value: bool) -> None:
        if value:
            self._cancel.set(CancelReason.SKIP)
        else:
            self._cancel.clear_skip()

    @property
    def stopping_generation(self) -> bool:
        """Whether the job was asked to end after the current picture."""
        return self._cancel.reason is CancelReason.STOP

    @stopping_generation.setter
    def stopping_generation(self, value: bool) -> None:
        if value:
            self._cancel.set(CancelReason.STOP)

    def interrupt(self) -> None:
        """Ask the job to end."""
        self._cancel.set(CancelReason.INTERRUPT)

    def skip(self) -> None:
        """Ask the batch to end."""
        self._cancel.set(CancelReason.SKIP)

    def stop_generating(self) -> None:
        """Ask the job to end after the current picture."""
        self._cancel.set(CancelReason.STOP)

    def nextjob(self) -> None:
        """Count one batch more."""
        self.job_no += 1
        self.sampling_step = self.current_image_sampling_step = 0

    def begin(self, job: str = "(unknown)") -> None:
        """Begin to count for work that is no generation."""
        self.time_start = time.time()
        self.job, self.job_no, self.job_count, self.sampling_step = job, 0, -1, 0
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.textinfo, self.current_image, self.current_latent = None, None, None
        self._cancel.clear_skip()

    def end(self) -> None:
        """End what `begin` began."""
        self.job, self.job_count = "", 0

    def assign_current_image(self, image: "Image") -> None:
        """Show a picture while the job runs."""
        self.current_image = image
        self.id_live_preview += 1

    def set_current_image(self) -> None:
        """Make a preview when one is due; previews follow the steps by themselves here."""

    def do_set_current_image(self) -> None:
        """Make a preview now; previews follow the steps by themselves here."""

    def request_restart(self) -> None:
        """Ask for a new page."""
        self.interrupt()
        self.need_restart = True

    def wait_for_server_command(self, timeout: float | None = None) -> None:
        """Wait; the server is told to stop elsewhere."""
        threading.Event().wait(timeout)

    def dict(self) -> dict[str, Any]:
        """Return what the API tells of the state."""
        return {
            "skipped": self.skipped, "interrupted": self.interrupted, "stopping_generation": self.stopping_generation,
            "job": self.job, "job_count": self.job_count, "job_timestamp": self.job_timestamp, "job_no": self.job_no,
            "sampling_step": self.sampling_step, "sampling_steps": self.sampling_steps,
        }  # fmt: skip


class StateView:
    """The state of the job that is looked at, else that of nobody."""

    def __getattr__(self, name: str) -> Any:
        return getattr(state_now(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(state_now(), name, value)


def state_now() -> State:
    """Return the state that belongs to the calling thread."""
    job = current_job()
    return (host().turn_state or host().idle) if job is None else job.state
