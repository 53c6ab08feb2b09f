"""The queue: its order, pausing it, running jobs again, and what of it survives a restart."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from modules.domain.errors import InvalidRequest, QueueFull, ShuttingDown, UnknownName
from modules.domain.events import ImageReady
from modules.domain.merge import MergeRequest
from modules.domain.request import Generation, ImageRef, InitSpec, MaskSpec, SamplingSpec, SeedSpec
from modules.domain.result import Outcome, Unfinished
from modules.engine import ledger as ledgers
from modules.engine.desk import Desk
from modules.engine.earlier import payload_of
from modules.engine.job import Job, JobHandle, JobState, Owner
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.engine.order import allowed_index, next_index, take
from modules.hooks.context import JobContext
from modules.settings.snapshot import Snapshot
from tests.engine.fakes import FakeRunner

UI = Owner(source="ui", client="127.0.0.1")
ANN, BOB = (Owner(source="api", client="127.0.0.1", user=name) for name in ("ann", "bob"))


class House:
    """An engine, its desk and its ledger in a folder that may have been used before."""

    def __init__(self, folder: Path, *, start: bool = True, **settings: object) -> None:
        self.runner = FakeRunner()
        self.settings = Snapshot().with_overrides(settings)
        self.ledger = Ledger(folder / "jobs.sqlite3")
        self.engine = LocalEngine(
            self.runner, snapshot=lambda overrides: self.settings.with_overrides(overrides), ledger=self.ledger,
            model_of=lambda job: str(job.payload.overrides.get("sd_model_checkpoint", "")),  # pyright: ignore
        )  # fmt: skip
        self.desk = Desk(self.engine, lambda: self.settings, ledger=self.ledger)
        if start:
            self.desk.take_up()
            self.engine.start()

    def accept(self, seed: int = 0, *, owner: Owner = UI, attended: bool = False, **parts: object) -> JobHandle:
        request = Generation(sampling=SamplingSpec(steps=1), seed=SeedSpec(seed=seed), **parts)  # pyright: ignore
        return self.desk.accept(request, owner, attended=attended)

    def seeds(self) -> list[int]:
        return [request.seed.seed for request in self.runner.seen]

    def close(self) -> None:
        self.runner.gate.set()
        assert self.engine.shutdown(5)
        self.ledger.close()


def died(house: House) -> None:
    """Let the jobs of a house belong to a process that is gone."""
    house.ledger._do(lambda db: db.execute("UPDATE jobs SET pid=999999999"), None)
    house.ledger.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def handles(models: str, owners: str = "") -> list[JobHandle]:
    users = dict(zip(range(len(models)), owners or "a" * len(models), strict=True))
    return [
        JobHandle(Job(id=str(number), kind=model, payload=Generation(), accepted_at=0.0, task_id="",
                      owner=Owner(source="api", user=users[number])))
        for number, model in enumerate(models)
    ]  # fmt: skip


def run_all(models: str, loaded: str, most: int) -> list[int]:
    """Return the numbers of jobs in the order in which they run."""
    waiting, order = handles(models), list[int]()
    while waiting:
        handle = take(waiting, next_index(waiting, loaded, lambda job: job.kind, most))
        loaded = handle.job.kind
        order.append(int(handle.id))
    return order


def test_jobs_of_the_loaded_model_go_first_but_nobody_is_overtaken_too_often() -> None:
    assert run_all("abab", "", 8) == [0, 2, 1, 3]
    assert run_all("abab", "b", 8) == [1, 3, 0, 2]
    assert run_all("baaaa", "a", 2) == [1, 2, 0, 3, 4]


@given(some.text("abc", min_size=1, max_size=30), some.integers(1, 5))
def test_grouping_loses_nobody_and_is_bounded(models: str, most: int) -> None:
    order = run_all(models, "a", most)
    assert sorted(order) == list(range(len(models)))
    for place, number in enumerate(order):
        assert sum(later > number for later in order[:place]) <= most


def test_nobody_moves_past_the_jobs_of_others() -> None:
    waiting = handles("xxxxx", "abaab")
    assert allowed_index(waiting, 3, 0) == 2
    assert allowed_index(waiting, 4, 0) == 4
    assert allowed_index(waiting, 0, 99) == 4
    assert allowed_index(handles("xxx"), 2, 0) == 0


def test_grouping_by_model_is_a_setting(tmp_path: Path) -> None:
    house = House(tmp_path, queue_group_by_model=True)
    house.desk.pause()
    for seed, model in enumerate("abab"):
        house.accept(seed, overrides={"sd_model_checkpoint": model})
    house.desk.resume()
    until(lambda: len(house.runner.seen) == 4)
    assert house.seeds() == [0, 2, 1, 3]
    house.close()


def test_a_paused_queue_lets_the_running_job_end(house: House) -> None:
    house.runner.gate.clear()
    running = house.accept()
    house.runner.entered.wait(5)
    house.desk.pause()
    waiting = house.accept()
    house.runner.gate.set()
    running.wait(5)
    time.sleep(0.05)
    assert waiting.state is JobState.QUEUED
    assert house.desk.cancel(waiting.id)
    house.desk.resume()
    assert house.accept().wait(5)


def test_a_job_is_moved_and_the_order_survives(tmp_path: Path) -> None:
    first = House(tmp_path, queue_resume_after_restart=True)
    first.desk.pause()
    names = [first.accept(seed).id for seed in range(4)]
    assert first.desk.move(names[3], 1) == 1
    assert first.desk.move(names[0], 9) == 4
    assert first.desk.move("none", 1) is None
    assert first.ledger.entries()[0].id == names[3]
    died(first)
    second = House(tmp_path, queue_resume_after_restart=True)
    assert [handle.id for handle in second.desk.waiting()] == [names[3], names[1], names[2], names[0]]
    assert second.desk.paused
    second.desk.resume()
    until(lambda: len(second.runner.seen) == 4)
    assert second.seeds() == [3, 1, 2, 0]
    second.close()


def test_what_waited_is_only_run_when_the_owner_wants_it(tmp_path: Path) -> None:
    first = House(tmp_path)
    first.desk.pause()
    kept, held = first.accept(1), first.accept(2, attended=True)
    died(first)
    second = House(tmp_path)
    assert not second.desk.paused
    assert second.desk.waiting() == ()
    assert {entry.id: entry.state.value for entry in second.ledger.entries()} == dict.fromkeys(
        (kept.id, held.id), "not run"
    )
    again = second.desk.again(kept.id, UI)
    assert again.id != kept.id
    again.wait(5)
    assert second.seeds() == [1]
    second.close()


def test_a_request_whose_client_held_the_line_is_not_run_again(tmp_path: Path) -> None:
    first = House(tmp_path, queue_resume_after_restart=True)
    first.desk.pause()
    kept, held = first.accept(1), first.accept(2, attended=True)
    died(first)
    second = House(tmp_path, start=False, queue_resume_after_restart=True)
    assert second.desk.take_up() == 1
    assert [handle.id for handle in second.desk.waiting()] == [kept.id]
    assert second.ledger.find(held.id).state is JobState.NOT_RUN  # pyright: ignore[reportOptionalMemberAccess]
    third = Ledger(tmp_path / "jobs.sqlite3")
    assert not third.requeue(kept.id)
    third.close()
    second.desk.resume()
    second.engine.start()
    second.close()


@pytest.mark.parametrize("resumes", [True, False])
def test_stopping_leaves_waiting_jobs_for_the_next_start(tmp_path: Path, resumes: bool) -> None:
    house = House(tmp_path, queue_resume_after_restart=resumes)
    house.desk.pause()
    kept, held = house.accept(), house.accept(attended=True)
    assert house.engine.shutdown(5)
    for handle in (kept, held):
        with pytest.raises(ShuttingDown):
            handle.wait(1)
    states = {entry.id: entry.state.value for entry in house.ledger.entries()}
    assert states == {kept.id: "queued" if resumes else "not run", held.id: "not run"}
    house.ledger.close()


def test_pictures_of_a_request_survive_with_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    one, two = (ImageRef.of(text) for text in (b"one", b"two"))
    request = Generation(init=InitSpec(images=(one, one)), mask=MaskSpec(image=two))
    ledger.accept(Job(id="a", kind="img2img", payload=request, owner=UI, accepted_at=1.0, task_id="t", attended=True))
    ledger.close()
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    entry = ledger.find("t")
    assert entry is not None
    found = payload_of(entry, ledger)
    assert found == request
    assert isinstance(found, Generation)
    assert found.init is not None
    assert [image.data for image in found.init.images] == [b"one", b"one"]
    assert found.mask is not None
    assert found.mask.image is not None
    assert found.mask.image.data == b"two"
    ledger.end("a", JobState.FINISHED, 2.0)
    assert ledger.forget("a")
    assert ledger.picture(one.sha256) is None
    with pytest.raises(InvalidRequest, match="no longer kept"):
        payload_of(entry, ledger)
    with pytest.raises(InvalidRequest, match="does not know"):
        payload_of(replace(entry, form="Other"), ledger)
    ledger.close()


def test_other_kinds_of_request_survive_too(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    request = MergeRequest(primary_model_name="a", secondary_model_name="b", multiplier=0.5)
    ledger.accept(Job(id="a", kind="merge", payload=request, owner=UI, accepted_at=1.0, task_id="t"))
    entry = ledger.find("a")
    assert entry is not None
    assert payload_of(entry, ledger) == request
    ledger.close()


def test_pictures_take_bounded_room_but_waiting_jobs_keep_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "KEEP_PICTURE_BYTES", 25)
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    images = [ImageRef.of(bytes([number]) * 10) for number in range(5)]
    for number, image in enumerate(images):
        request = Generation(init=InitSpec(images=(image,)))
        ledger.accept(Job(id=f"{number}", kind="", payload=request, owner=UI, accepted_at=1.0, task_id=""))
        if number:
            ledger.end(f"{number}", JobState.FINISHED, 2.0)
    ledger.accept(Job(id="gone", kind="", payload=Generation(), owner=UI, accepted_at=1.0, task_id=""))
    ledger.end("gone", JobState.FINISHED, 2.0)
    assert ledger.forget("gone")
    assert [ledger.picture(image.sha256) is not None for image in images] == [True, False, False, True, True]
    ledger.close()


def test_only_the_newest_ended_jobs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "KEEP", 3)
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    for number in range(8):
        ledger.accept(Job(id=f"{number}", kind="", payload=Generation(), owner=UI, accepted_at=1.0, task_id=""))
        if number:
            ledger.end(f"{number}", JobState.FINISHED, 2.0)
    assert [entry.id for entry in ledger.entries()] == ["7", "6", "5", "0"]
    ledger.close()


def test_entries_are_found_by_page_state_and_user(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.sqlite3")
    for number, owner in enumerate((ANN, BOB, ANN, ANN)):
        ledger.accept(Job(id=f"{number}", kind="", payload=Generation(), owner=owner, accepted_at=1.0, task_id=""))
    ledger.end("2", JobState.FAILED, 2.0)
    assert [entry.id for entry in ledger.entries(user="ann", whose=True)] == ["3", "2", "0"]
    assert [entry.id for entry in ledger.entries(user=None, whose=True)] == []
    assert [entry.id for entry in ledger.entries(states=[JobState.FAILED])] == ["2"]
    page = ledger.entries(2)
    assert [entry.id for entry in ledger.entries(2, before=page[-1].number)] == ["1", "0"]
    ledger.close()


def test_running_again_is_for_the_owner_and_obeys_the_limits(house: House) -> None:
    first = house.accept(7, owner=ANN)
    first.wait(5)
    with pytest.raises(UnknownName):
        house.desk.again(first.id, BOB)
    with pytest.raises(UnknownName):
        house.desk.again("none", ANN)
    house.settings = house.settings.with_overrides({"queue_max_jobs": 1})
    house.desk.pause()
    copy = house.desk.again(first.id, ANN)
    with pytest.raises(QueueFull):
        house.desk.again(first.id, ANN)
    house.desk.resume()
    copy.wait(5)
    assert house.runner.seen[0] == house.runner.seen[1]


def test_only_ended_jobs_are_forgotten(house: House) -> None:
    house.desk.pause()
    waiting = house.accept()
    assert not house.desk.forget(waiting.id)
    house.desk.resume()
    waiting.wait(5)
    until(lambda: house.desk.current() is None)
    assert house.desk.forget(waiting.id)
    assert house.desk.find(waiting.id) is None
    assert house.desk.entry(waiting.id) is None


class Beside:
    """Runs jobs whose pictures are finished later, when the gate is opened."""

    def __init__(self) -> None:
        self.inner, self.gate, self.finishing = FakeRunner(), threading.Event(), 0

    def __call__(self, request: Generation, ctx: JobContext) -> Unfinished:
        outcome = self.inner(request, ctx)

        def finish() -> Outcome:
            self.finishing += 1
            assert self.gate.wait(10)
            if request.prompt == "bad":
                raise ValueError("cannot be encoded")
            return outcome

        return Unfinished(finish=finish)


def beside_house(tmp_path: Path) -> tuple[Beside, LocalEngine, Desk, Ledger]:
    runner, ledger = Beside(), Ledger(tmp_path / "jobs.sqlite3")
    engine = LocalEngine(runner, snapshot=Snapshot().with_overrides, ledger=ledger)  # pyright: ignore
    engine.start()
    return runner, engine, Desk(engine, Snapshot), ledger


def test_the_next_job_runs_while_pictures_are_finished_and_order_is_kept(tmp_path: Path) -> None:
    runner, engine, desk, ledger = beside_house(tmp_path)
    jobs = [desk.accept(Generation(prompt=text), UI) for text in ("one", "bad", "three", "four")]
    until(lambda: len(runner.inner.seen) == 2 and runner.finishing == 1)
    time.sleep(0.05)
    assert len(runner.inner.seen) == 2
    assert [handle.state for handle in jobs] == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED, JobState.QUEUED]
    assert desk.current() is jobs[1]
    runner.gate.set()
    for handle in (jobs[0], jobs[2], jobs[3]):
        handle.wait(5)
    with pytest.raises(ValueError, match="encoded"):
        jobs[1].wait(5)
    assert [handle.ended_at for handle in jobs] == sorted(handle.ended_at or 0 for handle in jobs)
    assert {entry.id: entry.state for entry in ledger.entries()}[jobs[1].id] is JobState.FAILED
    until(lambda: desk.current() is None)
    assert engine.shutdown(5)
    ledger.close()


def test_stopping_waits_for_pictures_that_are_being_finished(tmp_path: Path) -> None:
    runner, engine, desk, ledger = beside_house(tmp_path)
    handle = desk.accept(Generation(), UI)
    until(lambda: runner.finishing == 1)
    assert not engine.shutdown(0.1)
    runner.gate.set()
    assert engine.shutdown(5)
    assert handle.state is JobState.FINISHED
    ledger.close()


@pytest.mark.parametrize("fault", [SystemExit, KeyboardInterrupt, MemoryError, RecursionError, GeneratorExit])
def test_a_job_cannot_end_the_worker(house: House, fault: type[BaseException]) -> None:
    def fail(_step: int) -> None:
        raise fault

    house.runner.before_step = fail
    bad = house.accept()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it was, waiting for it must not end a program
        bad.wait(5)
    assert bad.state is JobState.FAILED
    house.runner.before_step = lambda _step: None
    assert house.accept().wait(5).images


def test_what_happened_is_counted(house: House) -> None:
    house.accept().wait(5)
    house.desk.pause()
    house.desk.cancel(house.accept().id)
    counts = house.engine.tally.counts()
    assert dict(counts.jobs) == {("txt2img", "finished"): 1, ("txt2img", "not run"): 1}
    assert (counts.pictures, counts.started) == (1, 1)
    assert counts.ran_s > 0


def test_a_clock_that_is_set_back_harms_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real - 1e6 * len(house.runner.seen))
    handles = [house.accept(seed) for seed in range(4)]
    for handle in handles:
        assert handle.wait(5).images
        assert handle.progress.fraction == 1.0
    assert house.seeds() == [0, 1, 2, 3]
    counts = house.engine.tally.counts()
    assert counts.waited_s >= 0
    assert counts.ran_s >= 0


def test_interrupting_at_random_moments_hits_its_job_alone(house: House) -> None:
    for number in range(200):
        first, second = house.accept(number), house.accept(number)
        house.desk.interrupt(first.id)
        assert first.wait(5) is not None
        assert not second.wait(5).interrupted


def test_files_are_known_before_their_job_has_ended(tmp_path: Path) -> None:
    first, second, inner, gate = tmp_path / "1.png", tmp_path / "2.png", FakeRunner(), threading.Event()

    def run(request: Generation, ctx: JobContext) -> Outcome:
        outcome = inner(request, replace(ctx, emit=lambda _event: None))
        for path in (first, second):
            ctx.emit(ImageReady(job_id=ctx.job_id, image=replace(outcome.images[0], saved_as=path)))
        assert gate.wait(10)
        return outcome

    ledger = Ledger(tmp_path / "jobs.sqlite3")
    engine = LocalEngine(run, snapshot=Snapshot().with_overrides, ledger=ledger)  # pyright: ignore
    engine.start()
    Desk(engine, Snapshot).accept(Generation(), UI)
    until(lambda: [entry.files for entry in ledger.entries()] == [(first, second)])
    assert ledger.entries()[0].state is JobState.RUNNING
    gate.set()
    assert engine.shutdown(5)
    ledger.close()
