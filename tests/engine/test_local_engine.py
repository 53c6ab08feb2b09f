"""One worker: order, cancelling, failing, stopping, and what is left on disk."""

import gc
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modules.domain.errors import (
    ForbiddenSetting,
    InvalidRequest,
    LimitExceeded,
    NumericalFault,
    QueueFull,
    ShuttingDown,
)
from modules.domain.events import TERMINAL, Failed, Finished, ImageReady, Interrupted, Previewed, Progressed
from modules.domain.request import BatchSpec, Generation, SamplingSpec, SeedSpec
from modules.engine.desk import Desk
from modules.engine.job import Cancelled, Job, JobHandle, JobState, Owner
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.engine.remembered import KEEP_JOBS
from modules.settings.snapshot import Snapshot
from tests.engine.fakes import FakeRunner

API = Owner(source="api", client="127.0.0.1")
UI = Owner(source="ui", client="127.0.0.2")


class House:
    """An engine, its desk and its ledger around a fake runner."""

    def __init__(self, folder: Path) -> None:
        self.runner = FakeRunner()
        self.settings = Snapshot()
        self.ledger = Ledger(folder / "jobs.sqlite")
        self.engine = LocalEngine(
            self.runner, snapshot=lambda overrides: self.settings.with_overrides(overrides), ledger=self.ledger
        )
        self.desk = Desk(self.engine, lambda: self.settings)
        self.engine.start()

    def accept(self, steps: int = 2, *, owner: Owner = API, **parts: object) -> JobHandle:
        return self.desk.accept(Generation(sampling=SamplingSpec(steps=steps), **parts), owner)  # pyright: ignore

    def states(self) -> dict[str, str]:
        return {entry.id: entry.state.value for entry in self.ledger.entries()}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.runner.gate.set()
    assert made.engine.shutdown(5)
    made.ledger.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_job_gives_its_pictures_and_its_events_in_order(house: House) -> None:
    handle = house.accept(3, batch=BatchSpec(size=2, count=2))
    outcome = handle.wait(5)
    events = list(handle.events())
    assert [image.plan.index for image in outcome.images if image.plan] == [0, 1, 2, 3]
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, ImageReady) for event in events) == 4
    assert sum(isinstance(event, TERMINAL) for event in events) == 1
    assert handle.progress.fraction == 1.0
    assert house.states() == {handle.id: "finished"}


def test_jobs_run_in_order_of_arrival_over_all_owners(house: House) -> None:
    house.runner.gate.clear()
    handles = [house.accept(seed=SeedSpec(seed=i), owner=(API, UI)[i % 2]) for i in range(10)]
    house.runner.gate.set()
    for handle in handles:
        handle.wait(5)
    assert [request.seed.seed for request in house.runner.seen] == list(range(10))


def test_positions_count_from_the_next_job(house: House) -> None:
    house.runner.gate.clear()
    first = house.accept()
    house.runner.entered.wait(5)
    second, third = house.accept(), house.accept()
    assert [house.desk.position(handle) for handle in (first, second, third)] == [None, 1, 2]
    assert [line.state for line in house.desk.jobs()] == ["running", "queued", "queued"]


def test_a_full_queue_refuses_and_takes_jobs_again_later(house: House) -> None:
    house.settings = Snapshot().with_overrides({"queue_max_jobs": 3, "queue_max_jobs_per_client": 2})
    house.runner.gate.clear()
    house.accept()
    house.runner.entered.wait(5)
    kept = [house.accept(), house.accept()]
    with pytest.raises(QueueFull, match="queue_max_jobs_per_client"):
        house.accept()
    kept.append(house.accept(owner=UI))
    with pytest.raises(QueueFull, match="queue_max_jobs"):
        house.accept(owner=UI)
    house.runner.gate.set()
    for handle in kept:
        handle.wait(5)
    house.accept().wait(5)


def test_a_waiting_job_can_be_taken_back(house: House) -> None:
    house.runner.gate.clear()
    first = house.accept()
    house.runner.entered.wait(5)
    second = house.accept()
    assert house.desk.cancel(second.id)
    with pytest.raises(Cancelled):
        second.wait(1)
    house.runner.gate.set()
    first.wait(5)
    assert len(house.runner.seen) == 1
    assert house.states()[second.id] == "not run"
    assert not house.desk.cancel(second.id)


def test_interrupt_keeps_what_was_made_and_spares_the_next_job(house: House) -> None:
    house.runner.gate.clear()
    first, second = house.accept(50), house.accept(5)
    house.runner.entered.wait(5)
    assert house.desk.interrupt()
    house.runner.gate.set()
    assert first.wait(5).interrupted
    assert len(first.result().images) == 1
    assert isinstance(list(first.events())[-1], Interrupted)
    assert not second.wait(5).interrupted
    assert second.progress.step == 5
    assert (first.state, second.state) == (JobState.INTERRUPTED, JobState.FINISHED)


def test_skip_ends_one_batch_only(house: House) -> None:
    house.runner.before_step = lambda step: house.desk.skip() if step == 2 else None  # type: ignore[return-value]
    handle = house.accept(10, batch=BatchSpec(count=3))
    outcome = handle.wait(5)
    assert not outcome.interrupted
    assert len(outcome.images) == 3
    assert house.runner._steps == 2 + 10 + 10


def test_cancelling_is_bound_to_an_id(house: House) -> None:
    house.runner.gate.clear()
    first, second = house.accept(), house.accept()
    house.runner.entered.wait(5)
    assert not house.desk.interrupt(second.id)
    assert house.desk.interrupt(first.id)
    house.runner.gate.set()
    assert first.wait(5).interrupted
    assert not second.wait(5).interrupted


def test_interrupting_at_random_moments_never_hits_the_next_job(house: House) -> None:
    for number in range(60):
        first = house.accept(3)
        if number % 3:
            time.sleep(0.0005 * (number % 5))
        house.desk.interrupt(first.id)
        first.wait(5)
        assert not house.accept(1).wait(5).interrupted


def test_a_failure_belongs_to_its_job_alone(house: House) -> None:
    def fail_at(wanted: int) -> Callable[[int], None]:
        def check(step: int) -> None:
            if step == wanted:
                raise NumericalFault("a network produced NaN")

        return check

    for step in range(1, 7):
        house.runner._steps = 0
        house.runner.before_step = fail_at(step)
        bad = house.accept(3, batch=BatchSpec(count=2))
        with pytest.raises(NumericalFault):
            bad.wait(5)
        last = list(bad.events())[-1]
        assert isinstance(last, Failed)
        assert last.error == "NumericalFault"
        house.runner.before_step = lambda _step: None
        assert house.accept().wait(5).images[0].data


def test_a_failed_job_keeps_no_memory_of_its_frames(house: House) -> None:
    class Tensor:
        pass

    kept: list[weakref.ref[Tensor]] = []

    def fail(_step: int) -> None:
        tensor = Tensor()
        kept.append(weakref.ref(tensor))
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise RuntimeError("outer") from error

    house.runner.before_step = fail
    handle = house.accept()
    with pytest.raises(RuntimeError):
        handle.wait(5)
    until(lambda: house.desk.current() is None)
    gc.collect()
    assert kept[0]() is None


def test_previews_are_made_only_while_somebody_looks(house: House) -> None:
    house.settings = Snapshot().with_overrides({"show_progress_every_n_steps": 2})
    unseen = house.accept(4)
    unseen.wait(5)
    assert unseen.preview is None
    house.runner.gate.clear()
    seen = house.accept(4)
    seen.touch()
    house.runner.gate.set()
    seen.wait(5)
    assert seen.preview is not None
    assert seen.preview.number % 2 == 0


def test_a_late_reader_sees_only_the_newest_progress_and_preview(house: House) -> None:
    house.settings = Snapshot().with_overrides({"show_progress_every_n_steps": 1})
    house.runner.before_step = lambda _step: time.sleep(0.05)
    house.runner.gate.clear()
    handle = house.accept(12)
    handle.touch()
    house.runner.gate.set()
    handle.wait(5)
    events = list(handle.events())
    assert sum(isinstance(event, Progressed) for event in events) == 1
    assert sum(isinstance(event, Previewed) for event in events) == 1


def test_settings_are_those_of_the_moment_the_job_starts(house: House) -> None:
    house.runner.gate.clear()
    house.accept()
    house.runner.entered.wait(5)
    second = house.accept(overrides={"CLIP_stop_at_last_layers": 2})
    house.settings = Snapshot().with_overrides({"eta_ancestral": 0.5})
    house.runner.gate.set()
    second.wait(5)
    before, after = (context.settings.sampler.eta_ancestral for context in house.runner.contexts)
    assert (before, after) == (1.0, 0.5)
    assert house.runner.contexts[1].settings.value("CLIP_stop_at_last_layers") == 2
    assert house.settings.value("CLIP_stop_at_last_layers") == 1


@pytest.mark.parametrize(
    ("parts", "error", "text"),
    [
        ({"overrides": {"no_such": 1}}, InvalidRequest, "no_such"),
        ({"overrides": {"outdir_samples": "/tmp"}}, ForbiddenSetting, "outdir_samples"),
        ({"batch": BatchSpec(size=65)}, LimitExceeded, "batch_size"),
        ({"prompt": "a" * 50_001}, LimitExceeded, "api_max_prompt_chars"),
    ],
)
def test_the_desk_refuses_before_queueing(house: House, parts: dict[str, object], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        house.accept(**parts)  # pyright: ignore[reportArgumentType]
    assert house.states() == {}


def test_ended_jobs_are_remembered_up_to_a_number(house: House) -> None:
    handles = [house.accept(1) for _ in range(KEEP_JOBS + 4)]
    handles[-1].wait(5)
    until(lambda: house.desk.current() is None)
    assert house.desk.find(handles[0].id) is None
    assert house.desk.find(handles[-1].id) is handles[-1]
    assert len(house.engine.recent()) == KEEP_JOBS


def test_a_task_id_finds_its_newest_job(house: House) -> None:
    request = Generation(sampling=SamplingSpec(steps=1))
    older = house.desk.accept(request, API, "mine")
    newer = house.desk.accept(request, API, "mine")
    newer.wait(5)
    assert older.id != newer.id
    assert house.desk.find("mine") is newer


def test_stopping_interrupts_the_running_job_and_gives_up_the_rest(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.runner.before_step = lambda _step: time.sleep(0.01)
    running, waiting = house.accept(500), house.accept()
    house.runner.entered.wait(5)
    began = time.monotonic()
    house.desk.close()
    assert house.engine.shutdown(2)
    assert time.monotonic() - began < 2
    assert running.wait(1).interrupted
    with pytest.raises(ShuttingDown):
        waiting.wait(1)
    with pytest.raises(ShuttingDown):
        house.accept()
    assert house.states() == {running.id: "interrupted", waiting.id: "not run"}
    house.ledger.close()


def test_stopping_can_let_the_running_job_finish(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.runner.before_step = lambda _step: time.sleep(0.005)
    running = house.accept(20)
    house.runner.entered.wait(5)
    assert house.engine.shutdown(10, finish_running=True)
    assert running.state is JobState.FINISHED
    house.ledger.close()


def test_after_a_crash_nothing_is_lost_and_nothing_runs_twice(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.runner.gate.clear()
    ended = house.accept(1)
    house.runner.gate.set()
    ended.wait(5)
    house.runner.entered.clear()
    house.runner.gate.clear()
    running, waiting = house.accept(), house.accept(owner=UI)
    house.runner.entered.wait(5)

    restarted = Ledger(tmp_path / "jobs.sqlite")
    assert restarted.recover().marked == 2
    states = {entry.id: entry.state.value for entry in restarted.entries()}
    assert states == {ended.id: "finished", running.id: "interrupted", waiting.id: "not run"}
    assert not restarted.claim(waiting.id, time.time())
    assert restarted.recover().marked == 0
    restarted.close()

    house.runner.gate.set()
    with pytest.raises(Cancelled):
        waiting.wait(5)
    house.engine.shutdown(5)
    house.ledger.close()


def test_only_one_of_many_workers_gets_a_job(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.engine.shutdown(5)
    first = Ledger(tmp_path / "jobs.sqlite")
    request = Generation()
    for number in range(20):
        name = f"job{number}"
        first.accept(Job(id=name, kind="txt2img", payload=request, owner=API, accepted_at=time.time(), task_id=name))
        with ThreadPoolExecutor(2) as pool:
            won = pool.map(lambda ledger, name=name: ledger.claim(name, time.time()), (first, house.ledger))
        assert sorted(won) == [False, True]
    first.close()
    house.ledger.close()


def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database at all, and longer than a header" * 100)
    ledger = Ledger(path)
    assert ledger.entries() == []
    assert len(list(tmp_path.glob("jobs.sqlite.bad-*"))) == 1
    ledger.close()


def test_a_fault_while_recording_does_not_end_the_worker(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise ValueError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr(house.ledger, "end", fail)
        with pytest.raises(RuntimeError, match="recorded"):
            house.accept().wait(5)
    assert house.accept().wait(5).images


def test_texts_that_are_no_unicode_reach_the_ledger_as_escapes(house: House) -> None:
    def fail(_step: int) -> None:
        raise ValueError("half \ud800")

    house.runner.before_step = fail
    handle = house.accept(prompt="half \udfff")
    with pytest.raises(ValueError, match="half"):
        handle.wait(5)
    assert house.ledger.entries()[0].error == "ValueError: half \\ud800"


def test_a_ledger_that_cannot_be_written_does_not_stop_jobs(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.ledger.close()
    with pytest.raises(sqlite3.ProgrammingError):
        house.ledger._db.execute("SELECT 1")
    assert house.accept().wait(5).images
    assert "could not be used" in caplog.text
