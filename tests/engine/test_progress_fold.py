"""What a job's events add up to."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modules.domain.events import Event, Finished, ImageReady, Interrupted, Progressed, Stage, Started
from modules.domain.result import Produced
from modules.engine.progress import Progress, fold


def run(batches: int, steps: int, step_s: float, decode_s: float) -> list[Event]:
    """Make the events of a regular run; the first step takes three times as long as the others."""
    now, events = 0.0, list[Event]()
    events.append(Started(job_id="j", num_batches=batches, at_s=now))
    for batch in range(batches):
        events.append(Stage(job_id="j", text="sampling", at_s=now))
        for step in range(1, steps + 1):
            now += step_s * (3 if batch == 0 and step == 1 else 1)
            events.append(
                Progressed(job_id="j", batch=batch, num_batches=batches, step=step, num_steps=steps, at_s=now)
            )
        now += decode_s
        image = Produced(data=b"", format="png", infotext="", width=8, height=8, plan=None)
        events.append(ImageReady(job_id="j", image=image, at_s=now))
    events.append(Finished(job_id="j", at_s=now))
    return events


def states(events: list[Event]) -> list[Progress]:
    """Fold step by step."""
    progress, found = Progress(), list[Progress]()
    for event in events:
        progress = fold(progress, event)
        found.append(progress)
    return found


@given(st.integers(1, 5), st.integers(1, 12), st.floats(0.001, 2), st.floats(0, 2))
def test_the_fraction_never_decreases_and_ends_at_one(batches: int, steps: int, step_s: float, decode_s: float) -> None:
    found = states(run(batches, steps, step_s, decode_s))
    assert all(a.fraction <= b.fraction for a, b in pairwise(found))
    assert all(a.a1111_fraction() <= b.a1111_fraction() + 1e-12 for a, b in pairwise(found[:-1]))
    assert found[-1].fraction == 1.0


def test_the_estimate_follows_measured_steps_and_counts_every_batch() -> None:
    events = run(batches=3, steps=10, step_s=0.5, decode_s=1.0)
    total = events[-1].at_s
    for event, progress in zip(events, states(events), strict=True):
        if isinstance(event, Progressed) and event.batch >= 1:
            left = progress.eta_s(event.at_s)
            assert left is not None
            assert abs(left - (total - event.at_s)) < 1e-6


def test_a_slow_first_step_does_not_spoil_the_estimate() -> None:
    events = run(batches=1, steps=10, step_s=0.5, decode_s=0.0)
    progress = states(events)[3]
    assert progress.step == 2
    assert progress.eta_s(progress.last_step_at_s or 0.0) == 0.5 * 8


def test_a1111_numbers() -> None:
    progress = Progress()
    assert (progress.a1111_fraction(), progress.eta_relative(5.0)) == (0.0, 0.0)
    progress = fold(progress, Started(job_id="j", at_s=1.0))
    assert progress.a1111_fraction() == 0.01
    assert abs(progress.eta_relative(2.0) - 99.0) < 1e-6
    progress = fold(progress, Progressed(job_id="j", batch=1, num_batches=4, step=5, num_steps=20, at_s=3.0))
    assert abs(progress.a1111_fraction() - (0.01 + 1 / 4 + 1 / 4 * 5 / 20)) < 1e-12
    progress = fold(progress, Interrupted(job_id="j"))
    assert (progress.a1111_fraction(), progress.eta_relative(9.0), progress.fraction < 1) == (0.0, 0.0, True)
