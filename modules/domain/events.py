"""Facts about jobs. Immutable; anyone may watch, nobody may change them; they may cross a process or a network."""

from dataclasses import dataclass, field
from time import monotonic

from modules.domain.result import Produced


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events of one job."""

    job_id: str
    at_s: float = field(default_factory=monotonic)
    """Monotonic clock of the process that emitted the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(Event):
    """The job was accepted and waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A worker took the job."""

    num_batches: int = 0
    """0 while the plan is not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Event):
    """The job entered a stage worth naming: loading model, encoding prompt, sampling, decoding, saving."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Event):
    """One sampler step was done."""

    batch: int
    num_batches: int
    step: int
    """Steps done in this batch, 1-based."""
    num_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed(Event):
    """A picture of the unfinished latent."""

    data: bytes
    format: str
    number: int
    """Grows by one with each preview of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReady(Event):
    """A picture is finished (and saved, if it is to be)."""

    image: Produced


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Something the person should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The job ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The job ended with an error."""

    error: str
    """Class name."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """The job ended early because somebody asked for it; what was made so far is kept."""


TERMINAL = (Finished, Failed, Interrupted)
"""Events after which a job emits nothing more."""
