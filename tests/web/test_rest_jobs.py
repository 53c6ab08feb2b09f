"""Watching, cancelling and losing interest in jobs."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modules.domain.request import BatchSpec, Generation, SamplingSpec
from modules.engine.job import JobHandle, JobState, Owner
from modules.web.rest.jobs import MAX_READERS
from tests.web.rest_house import RestHouse, rest_house

UI = Owner(source="ui", client="127.0.0.9")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def accept(house: RestHouse, steps: int = 2, count: int = 1, task_id: str | None = None) -> JobHandle:
    request = Generation(sampling=SamplingSpec(steps=steps), batch=BatchSpec(count=count))
    return house.services.desk.accept(request, UI, task_id)


def in_background(call: Callable[[], Any]) -> "Future[Any]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def test_progress_when_idle(house: RestHouse) -> None:
    assert house.get("/progress").json() == {
        "progress": 0.0, "eta_relative": 0.0, "current_image": None, "textinfo": None,
        "state": {
            "skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0,
            "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
        },
    }  # fmt: skip


def test_progress_of_a_running_job(house: RestHouse) -> None:
    house.services.settings.set({"show_progress_every_n_steps": 1})
    reached, go_on = threading.Event(), threading.Event()

    def hold(step: int) -> None:
        if step == 7:
            reached.set()
            assert go_on.wait(5)

    house.runner.before_step = hold
    house.runner.gate.clear()
    handle = accept(house, steps=4, count=2)
    handle.touch()
    house.runner.gate.set()
    assert reached.wait(5)
    seen = house.get("/progress").json()
    assert seen["state"]["job_count"] == 2
    assert (seen["state"]["job_no"], seen["state"]["sampling_step"], seen["state"]["sampling_steps"]) == (1, 2, 4)
    assert seen["state"]["job"] == "Batch 2 out of 2"
    assert abs(seen["progress"] - (0.01 + 1 / 2 + 1 / 2 * 2 / 4)) < 1e-9
    assert seen["eta_relative"] >= 0
    assert seen["current_image"]
    assert house.get("/progress", params={"skip_current_image": True}).json()["current_image"] is None
    ours = house.client.post("/internal/progress", json={"id_task": handle.job.task_id}).json()
    assert (ours["active"], ours["queued"], ours["completed"]) == (True, False, False)
    assert ours["live_preview"].startswith("data:image/png;base64,")
    again = {"id_task": handle.job.task_id, "id_live_preview": ours["id_live_preview"]}
    assert house.client.post("/internal/progress", json=again).json()["live_preview"] is None
    go_on.set()
    handle.wait(5)
    assert house.client.post("/internal/progress", json=again).json()["completed"]


def test_a_client_may_name_its_task(house: RestHouse) -> None:
    assert house.txt2img(force_task_id="task(mine)").status_code == 200
    told = house.client.post("/internal/progress", json={"id_task": "task(mine)"}).json()
    assert (told["active"], told["completed"]) == (False, True)
    house.txt2img()
    task_id = house.services.desk.jobs()[-1].task_id
    assert re.fullmatch(r"task\(txt2img-[A-Z0-9]{7}\)", task_id)


def test_waiting_tasks(house: RestHouse) -> None:
    house.runner.gate.clear()
    accept(house)
    house.runner.entered.wait(5)
    accept(house, task_id="second")
    accept(house, task_id="third")
    assert house.client.get("/internal/pending-tasks").json() == {"size": 2, "tasks": ["second", "third"]}
    told = house.client.post("/internal/progress", json={"id_task": "third"}).json()
    assert (told["queued"], told["textinfo"]) == (True, "In queue: 2/2")


def test_interrupt_gives_the_partial_picture(house: RestHouse) -> None:
    house.runner.before_step = lambda step: time.sleep(0.01)
    asked = in_background(lambda: house.txt2img(steps=400))
    until(lambda: house.get("/progress").json()["state"]["sampling_step"] > 2)
    began = time.monotonic()
    house.post("/interrupt")
    answer = asked.result(5)
    assert time.monotonic() - began < 2
    assert answer.status_code == 200
    assert len(answer.json()["images"]) == 1
    assert not house.txt2img().json()["info"].count("interrupted")


def test_skip_goes_on_with_the_next_batch(house: RestHouse) -> None:
    def skip_once(step: int) -> None:
        if step == 2:
            house.services.desk.skip()

    house.runner.before_step = skip_once
    assert len(house.txt2img(steps=10, n_iter=2).json()["images"]) == 2
    assert house.runner._steps == 2 + 10


def test_a_full_queue_answers_429(house: RestHouse) -> None:
    house.services.settings.set({"queue_max_jobs": 1})
    house.runner.gate.clear()
    accept(house)
    house.runner.entered.wait(5)
    accept(house)
    answer = house.txt2img()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert house.get("/progress").status_code == 200


def test_many_waiting_requests_leave_the_server_responsive(house: RestHouse) -> None:
    house.runner.gate.clear()
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(house.txt2img, seed=i) for i in range(30)]
        until(lambda: len(house.services.desk.waiting()) == 29)
        slowest = 0.0
        for _ in range(10):
            began = time.monotonic()
            assert house.client.get("/internal/ping").status_code == 200
            assert house.get("/progress").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        house.runner.gate.set()
        assert all(one.result(10).status_code == 200 for one in asked)
    assert slowest < 0.2
    assert sorted(request.seed.seed for request in house.runner.seen) == list(range(30))


class Caller:
    """One raw request whose client can leave."""

    def __init__(self, house: RestHouse, body: dict[str, Any]) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Any] = []
        self._app, self._body, self._read = house.app, json.dumps(body).encode(), False

    async def run(self) -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/sdapi/v1/txt2img", "raw_path": b"/sdapi/v1/txt2img",
            "query_string": b"", "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "scheme": "http", "http_version": "1.1",
            "root_path": "",
        }  # fmt: skip
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


@pytest.mark.parametrize("waiting", [True, False])
def test_the_job_of_a_client_that_leaves_is_dropped(house: RestHouse, waiting: bool) -> None:
    house.runner.before_step = lambda _step: time.sleep(0.005)
    house.runner.gate.clear()
    first = accept(house, steps=3) if waiting else None
    if waiting:
        house.runner.entered.wait(5)

    async def leave() -> None:
        caller = Caller(house, {"steps": 500, "width": 64, "height": 64})
        running = asyncio.create_task(caller.run())
        while not (house.services.desk.waiting() if waiting else house.services.desk.current()):
            await asyncio.sleep(0.005)
        caller.gone.set()
        house.runner.gate.set()
        await running

    asyncio.run(leave())
    until(lambda: house.services.desk.current() is None)
    last = house.services.engine.recent()
    states = [handle.state for handle in last if handle.job.owner.source == "api"]
    assert states == [JobState.NOT_RUN if waiting else JobState.INTERRUPTED]
    if first is not None:
        assert first.state is JobState.FINISHED


def test_a_client_that_leaves_may_be_ignored(house: RestHouse) -> None:
    house.services.settings.set({"api_cancel_on_disconnect": False})
    house.runner.gate.clear()

    async def leave() -> None:
        caller = Caller(house, {"steps": 5, "width": 64, "height": 64})
        running = asyncio.create_task(caller.run())
        while not house.services.desk.current():
            await asyncio.sleep(0.005)
        caller.gone.set()
        await running

    asyncio.run(leave())
    house.runner.gate.set()
    until(lambda: house.services.desk.current() is None)
    assert house.services.engine.recent()[-1].state is JobState.FINISHED


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_the_event_stream_tells_the_whole_story(house: RestHouse) -> None:
    house.services.settings.set({"show_progress_every_n_steps": 1})
    house.runner.gate.clear()
    handle = accept(house, steps=6, count=2)
    house.runner.before_step = lambda _step: time.sleep(0.06)
    asked = in_background(lambda: house.client.get(f"/internal/jobs/{handle.id}/events"))
    time.sleep(0.2)
    house.runner.gate.set()
    answer = asked.result(10)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = lines_of(answer.text)
    fractions = [line["fraction"] for line in lines if line["type"] == "progress"]
    assert fractions == sorted(fractions)
    assert len(fractions) > 2
    assert any(line["type"] == "preview" for line in lines)
    assert lines[-1]["type"] == "finished"
    for link in lines[-1]["images"]:
        picture = house.client.get(f"/{link['url']}")
        assert picture.headers["content-type"] == "image/png"
        assert picture.content.startswith(b"\x89PNG")
        assert picture.headers["x-content-type-options"] == "nosniff"
    assert house.client.get(f"/internal/jobs/{handle.id}/preview").content.startswith(b"\x89PNG")
    assert house.client.get(f"/internal/jobs/{handle.id}/images/9").status_code == 404


@pytest.mark.parametrize("end", ["failed", "interrupted"])
def test_every_stream_ends(house: RestHouse, end: str) -> None:
    def act(_step: int) -> None:
        if end == "failed":
            raise ValueError("no")
        house.services.desk.interrupt()

    house.runner.before_step = act
    handle = accept(house)
    assert lines_of(house.client.get(f"/internal/jobs/{handle.id}/events").text)[-1]["type"] == end


def test_a_task_id_leads_to_its_stream(house: RestHouse) -> None:
    accept(house, task_id="task(txt2img-ABCDEFG)").wait(5)
    assert house.client.get("/internal/jobs/task(txt2img-ABCDEFG)/events").status_code == 200


def test_the_queue_panel(house: RestHouse) -> None:
    house.runner.gate.clear()
    first = accept(house)
    house.runner.entered.wait(5)
    second = accept(house)
    lines = house.client.get("/internal/jobs").json()["jobs"]
    assert [(line["id"], line["state"], line["position"]) for line in lines] == [
        (first.id, "running", None), (second.id, "queued", 1),
    ]  # fmt: skip
    assert house.client.post(f"/internal/jobs/{second.id}/cancel").json() == {"cancelled": True}
    assert house.client.post(f"/internal/jobs/{second.id}/cancel").json() == {"cancelled": False}
    assert house.client.post(f"/internal/jobs/{first.id}/stop").json() == {"stopped": True}
    assert house.client.get("/internal/jobs").json()["jobs"][0]["state"] == "not run"


def test_streams_are_counted_and_places_given_back(house: RestHouse) -> None:
    house.runner.gate.clear()
    handle = accept(house)
    path = f"/internal/jobs/{handle.id}/events"
    with ThreadPoolExecutor(MAX_READERS + 6) as pool:
        asked = [pool.submit(house.client.get, path) for _ in range(MAX_READERS + 6)]
        until(lambda: sum(one.done() for one in asked) == 6)
        house.runner.gate.set()
        statuses = sorted(one.result(10).status_code for one in asked)
    assert statuses == [200] * MAX_READERS + [429] * 6
    assert house.client.get(path).status_code == 200


def test_a_restart_lists_what_ran_and_what_never_did(tmp_path: Path) -> None:
    with rest_house(tmp_path) as before:
        done = accept(before)
        done.wait(5)
        before.runner.entered.clear()
        before.runner.gate.clear()
        running, waiting = accept(before), accept(before)
        before.runner.entered.wait(5)
        with rest_house(tmp_path) as after:
            told = after.client.get("/internal/jobs/history").json()["jobs"]
            assert {line["id"]: line["state"] for line in told} == {
                done.id: "finished", running.id: "interrupted", waiting.id: "not run",
            }  # fmt: skip
            assert after.client.get("/internal/jobs").json()["jobs"] == []
            assert after.runner.seen == []
