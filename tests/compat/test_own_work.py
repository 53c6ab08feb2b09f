"""Work that extensions start by themselves takes its turn among the jobs, can be followed, and ends when asked."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    only = tmp_path_factory.mktemp("only")
    (only / "own-work").symlink_to(ZOO / "own-work")
    with zoo_house(tmp_path_factory.mktemp("zoo"), zoo=only) as found:
        assert not found.loaded.faults
        yield found


@pytest.fixture
def theirs() -> Any:
    found = sys.modules["own_work.py"]
    found.INSIDE.clear()
    found.LEAVE.clear()
    found.ORDER.clear()
    return found


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(zoo: ZooHouse, pool: ThreadPoolExecutor, path: str, **params: Any) -> "Future[Any]":
    return pool.submit(lambda: zoo.client.post(f"/own-work/{path}", params=params).json())


@pytest.mark.parametrize("path", ["bare", "queued"])
def test_nothing_runs_beside_it(zoo: ZooHouse, theirs: Any, threads: ThreadPoolExecutor, path: str):
    first = ask(zoo, threads, "held", seed=1)
    assert theirs.INSIDE.wait(20)
    assert not zoo.client.post("/own-work/free").json()
    job = threads.submit(lambda: (zoo.txt2img(seed=2), theirs.ORDER.append("job")))
    until(lambda: len(zoo.services.desk.waiting()) == 1)
    assert not theirs.ORDER
    theirs.LEAVE.set()
    assert first.result(20) == 1
    job.result(20)
    assert [one if one == "job" else one[:3] for one in theirs.ORDER] == [("own", 1, 1), "job"]
    assert zoo.client.post(f"/own-work/{path}", params={"seed": 7}).json() == 7
    assert zoo.client.post("/own-work/free").json()


def test_it_is_seen_and_interrupted_like_a_job(zoo: ZooHouse, theirs: Any, threads: ThreadPoolExecutor):
    task = "task(own-work)"
    answer = ask(zoo, threads, "wrapped", task=task, count=5)
    assert theirs.INSIDE.wait(20)
    assert zoo.client.post("/own-work/progress", params={"task": task}).json()["active"]
    handle = zoo.services.desk.current()
    assert handle is not None
    assert handle.job.task_id == task
    listed = zoo.client.get("/sdapi/v1/progress").json()
    assert listed["state"]["job"] == "many"
    assert zoo.client.post("/sdapi/v1/interrupt").status_code == 200
    theirs.LEAVE.set()
    seeds, text, *_ = answer.result(20)
    assert (seeds, text) == ([0], "done")
    assert theirs.ORDER[0][3] is True
    until(lambda: handle.done)
    assert handle.state.value == "interrupted"
    told = zoo.client.post("/own-work/progress", params={"task": task}).json()
    assert (told["active"], told["completed"]) == (False, True)


def test_its_steps_are_its_progress(zoo: ZooHouse, theirs: Any):
    zoo.client.post("/own-work/queued", params={"seed": 3})
    handle = next(one for one in reversed(zoo.services.engine.recent()) if one.job.kind == "visit")
    until(lambda: handle.done)
    assert (handle.progress.step, handle.progress.num_steps, handle.state.value) == (3, 3, "finished")


def test_what_is_taken_out_of_the_queue_is_told(zoo: ZooHouse, theirs: Any, threads: ThreadPoolExecutor):
    first = ask(zoo, threads, "held", seed=1)
    assert theirs.INSIDE.wait(20)
    second = ask(zoo, threads, "wrapped", task="task(second)", count=1)
    until(lambda: len(zoo.services.desk.waiting()) == 1)
    assert zoo.client.post("/own-work/progress", params={"task": "task(second)"}).json()["queued"]
    zoo.services.desk.cancel(zoo.services.desk.waiting()[0].id)
    assert "cancelled" in second.result(20)[-1]
    theirs.LEAVE.set()
    assert first.result(20) == 1
