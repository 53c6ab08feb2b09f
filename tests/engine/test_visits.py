"""Work on other threads takes its turn among the jobs."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.domain.errors import InvalidRequest, ShuttingDown
from modules.domain.events import Progressed
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.engine.desk import Desk
from modules.engine.job import Cancelled, JobHandle, JobState, Owner, Payload
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.settings.snapshot import Snapshot
from tests.engine.fakes import plan_of

ME = Owner(source="ui")


class House:
    """An engine whose jobs wait for a word."""

    def __init__(self, folder: Path) -> None:
        self.order: list[str] = []
        self.go = threading.Event()
        self.ledger = Ledger(folder / "jobs.sqlite")
        self.engine = LocalEngine(self.run, snapshot=Snapshot().with_overrides, ledger=self.ledger)
        self.desk = Desk(self.engine, Snapshot, ledger=self.ledger)
        self.engine.start()

    def run(self, request: Payload, ctx: JobContext) -> Outcome:
        assert isinstance(request, Generation)
        self.order.append(str(request.prompt))
        self.go.wait(10)
        return Outcome(plan=plan_of(request), images=())


def ended(handle: JobHandle) -> None:
    done = threading.Event()
    handle.when_done(done.set)
    assert done.wait(10)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.go.set()
    made.engine.shutdown(5)
    made.ledger.close()


def test_a_visit_waits_for_jobs_and_jobs_for_a_visit(house: House):
    first = house.desk.accept(Generation(prompt="first"), ME)
    inside, leave = threading.Event(), threading.Event()

    def visit() -> None:
        with house.desk.visit("mine", ME, "task(mine)") as ctx:
            house.order.append("visit")
            ctx.emit(Progressed(job_id=ctx.job_id, batch=0, num_batches=1, step=1, num_steps=2))
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=visit)
    thread.start()
    while house.desk.find("task(mine)") is None:
        pass
    second = house.desk.accept(Generation(prompt="second"), ME)
    assert not inside.wait(0.1)
    assert [one.state for one in house.desk.jobs()] == ["running", "queued", "queued"]
    house.go.set()
    first.wait(10)
    assert inside.wait(10)
    handle = house.desk.current()
    assert handle is not None
    assert (handle.job.task_id, handle.progress.step, second.state) == ("task(mine)", 1, JobState.QUEUED)
    leave.set()
    second.wait(10)
    thread.join(10)
    assert house.order == ["first", "visit", "second"]
    assert handle.state is JobState.FINISHED


def test_a_visit_can_be_interrupted_and_its_fault_is_told(house: House):
    with house.desk.visit("mine", ME, "a") as ctx:
        assert house.desk.interrupt()
        assert ctx.cancel.reason is CancelReason.INTERRUPT
    handle = house.desk.find("a")
    assert handle is not None
    ended(handle)
    assert handle.state is JobState.INTERRUPTED
    with pytest.raises(ZeroDivisionError), house.desk.visit("mine", ME, "b"):
        raise ZeroDivisionError("nothing works")
    handle = house.desk.find("b")
    assert handle is not None
    ended(handle)
    assert (handle.state, str(handle.error)) == (JobState.FAILED, "nothing works")


def test_a_visit_that_is_cancelled_or_comes_too_late_never_begins(house: House):
    house.desk.accept(Generation(prompt="first"), ME)
    fault: list[BaseException] = []

    def visit() -> None:
        try:
            with house.desk.visit("mine", ME, "c"):
                house.order.append("never")
        except Cancelled as error:
            fault.append(error)

    thread = threading.Thread(target=visit)
    thread.start()
    while (handle := house.desk.find("c")) is None:
        pass
    assert house.desk.cancel(handle.id)
    thread.join(10)
    assert len(fault) == 1
    house.go.set()
    house.engine.shutdown(5)
    with pytest.raises(ShuttingDown), house.desk.visit("mine", ME):
        pass
    assert house.order == ["first"]


def test_a_visit_cannot_be_run_again(house: House):
    with house.desk.visit("mine", ME, "d"):
        pass
    with pytest.raises(InvalidRequest, match="extension"):
        house.desk.again("d", ME)
