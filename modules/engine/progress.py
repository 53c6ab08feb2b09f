"""What the events of a job add up to: how far it is, how long it will take, what it is doing."""

from dataclasses import dataclass, replace
from statistics import median

from modules.domain.events import (
    TERMINAL,
    Event,
    Finished,
    ImageReady,
    Previewed,
    Progressed,
    Queued,
    Stage,
    Started,
)

_RECENT = 9
"""Step durations that the estimate looks back on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A fold over the events of one job. All times are monotonic seconds of the emitting process."""

    started_at_s: float | None = None
    stage: str = ""
    batch: int = 0
    """0-based batch that is running."""
    num_batches: int = 0
    """0 until the plan is made."""
    step: int = 0
    num_steps: int = 0
    fraction: float = 0.0
    """Share of all steps of all batches that is done, 0 to 1; never decreases."""
    preview: int = -1
    """Number of the newest preview, -1 without one."""
    images: int = 0
    ended: bool = False
    step_durations_s: tuple[float, ...] = ()
    decode_s: float = 0.0
    """Time from the last step of a batch to its last picture, measured in the latest batch; 0 until measured."""
    last_step_at_s: float | None = None
    stage_at_s: float | None = None

    def eta_s(self, now_s: float) -> float | None:
        """Estimate the seconds until the job ends; None until a step was measured."""
        if self.ended:
            return 0.0
        if not self.step_durations_s or self.last_step_at_s is None:
            return None
        batches_after = max(0, self.num_batches - self.batch - 1)
        steps_left = max(0, self.num_steps - self.step) + batches_after * self.num_steps
        total = median(self.step_durations_s) * steps_left + self.decode_s * (batches_after + 1)
        return max(0.0, total - max(0.0, now_s - self.last_step_at_s))

    def a1111_fraction(self) -> float:
        """Return the number that `/sdapi/v1/progress` calls progress."""
        if self.started_at_s is None or self.ended:
            return 0.0
        if not self.num_batches:
            return 0.01
        part = min(1.0, self.step / self.num_steps) if self.num_steps else 0.0
        return min(1.0, 0.01 + (self.batch + part) / self.num_batches)

    def eta_relative(self, now_s: float) -> float:
        """Return the number that `/sdapi/v1/progress` calls eta_relative, seconds; 0 when idle."""
        if self.started_at_s is None or self.ended:
            return 0.0
        measured = self.eta_s(now_s)
        if measured is not None:
            return measured
        elapsed, share = max(0.0, now_s - self.started_at_s), self.a1111_fraction()
        return elapsed / share - elapsed if share else 0.0


def fold(progress: Progress, event: Event) -> Progress:
    """Return the progress after one more event."""
    match event:
        case Queued():
            return replace(progress, stage="waiting")
        case Started():
            first = event.at_s if progress.started_at_s is None else progress.started_at_s
            return replace(
                progress, started_at_s=first, num_batches=max(progress.num_batches, event.num_batches), stage="starting"
            )
        case Stage():
            return replace(progress, stage=event.text, stage_at_s=event.at_s)
        case Progressed():
            return _stepped(progress, event)
        case Previewed():
            return replace(progress, preview=event.number)
        case ImageReady():
            return _pictured(progress, event)
        case _ if isinstance(event, TERMINAL):
            last = 1.0 if isinstance(event, Finished) else progress.fraction
            return replace(progress, ended=True, fraction=last, stage=type(event).__name__.lower())
        case _:
            return progress


def _stepped(progress: Progress, event: Progressed) -> Progress:
    """Add one sampler step; a gap between two batches holds decoding and is not a step's duration."""
    durations = progress.step_durations_s
    same_batch = event.batch == progress.batch and event.step > progress.step > 0
    if progress.last_step_at_s is not None and same_batch:
        warm_up = progress.batch == 0 and progress.step == 1
        each = (event.at_s - progress.last_step_at_s) / (event.step - progress.step)
        durations = (each,) if warm_up else (*durations, each)[-_RECENT:]
    elif not durations and progress.stage_at_s is not None:
        durations = (max(0.0, event.at_s - progress.stage_at_s) / max(1, event.step),)
    whole = max(1, event.num_batches * event.num_steps)
    fraction = min(1.0, (event.batch * event.num_steps + event.step) / whole)
    return replace(
        progress, batch=event.batch, num_batches=event.num_batches, step=event.step, num_steps=event.num_steps,
        fraction=max(progress.fraction, fraction), step_durations_s=durations, last_step_at_s=event.at_s,
    )  # fmt: skip


def _pictured(progress: Progress, event: ImageReady) -> Progress:
    images = progress.images + 1
    if progress.last_step_at_s is None:
        return replace(progress, images=images)
    return replace(progress, images=images, decode_s=max(0.0, event.at_s - progress.last_step_at_s))
