"""Version 2 of the API: queueing, following, ordering and fetching jobs."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modules.engine.job import JobState
from modules.web.rest.v2 import events
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house

SMALL = {"kind": "txt2img", "steps": 2, "width": 64, "height": 64, "save_images": False}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path, "--metrics") as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def queue(house: RestHouse, **body: Any) -> dict[str, Any]:
    answer = house.client.post("/api/v2/jobs", json={**SMALL, **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v2/jobs/{answer.json()['id']}"
    return answer.json()


def job(house: RestHouse, name: str) -> dict[str, Any]:
    return house.client.get(f"/api/v2/jobs/{name}").json()


def ended(house: RestHouse, name: str) -> dict[str, Any]:
    return until(lambda: (found := job(house, name))["ended_at"] and found)


def held(house: RestHouse, count: int) -> list[str]:
    """Queue jobs of which the first runs and waits for the gate."""
    house.runner.gate.clear()
    house.runner.entered.clear()
    first = queue(house)["id"]
    house.runner.entered.wait(5)
    return [first, *(queue(house, seed=number)["id"] for number in range(1, count))]


def events_of(text: str) -> list[tuple[str, str, Any]]:
    """Read a stream: id, name and data of each event."""
    found: list[tuple[str, str, Any]] = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            found.append((lines.get("id", ""), lines["event"], json.loads(lines["data"])))
    return found


def follow(house: RestHouse, name: str, *, last: str | None = None, **query: str) -> Any:
    headers = {"Last-Event-ID": last} if last is not None else {}
    return house.client.get(f"/api/v2/jobs/{name}/events", headers=headers, params=query)


def test_a_job_goes_on_without_its_client_and_its_pictures_are_files(house: RestHouse) -> None:
    accepted = queue(house, n_iter=2, prompt="a fox", force_task_id="mine")
    assert accepted["kind"] == "txt2img"
    done = ended(house, accepted["id"])
    assert done["state"] == "finished"
    assert [one["n"] for one in done["files"]] == [0, 1]
    assert done["files"][0]["infotext"].startswith("a fox")
    for one in done["files"]:
        picture = house.client.get(one["url"])
        assert picture.content.startswith(b"\x89PNG")
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["content-disposition"].startswith("attachment")
        assert picture.headers["x-content-type-options"] == "nosniff"
    for wrong in ("2", "-1", "9999999999999999999999"):
        assert house.client.get(f"/api/v2/jobs/{accepted['id']}/files/{wrong}").status_code == 404
    assert job(house, "mine")["id"] == accepted["id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "no"}, ""),
        ({"kind": "txt2img", "step": 5}, "step"),
        ({"kind": "txt2img", "steps": "x"}, "steps"),
        ({"kind": "txt2img", "override_settings": {"outdir_samples": "x"}}, ""),
        ({"kind": "txt2img", "override_settings": {"no_such": "x"}}, ""),
        ({"kind": "img2img"}, ""),
        ({"kind": "img2img", "init_images": ["x"]}, ""),
        ([], ""),
        (None, ""),
        ("x", ""),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(house: RestHouse, body: Any, field: str) -> None:
    answer = house.client.post("/api/v2/jobs", json=body)
    assert 400 <= answer.status_code < 500
    assert field in answer.text
    assert house.services.ledger.entries() == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["none", "%00", "..%2f..%2fetc", "%ed%a0%80", "a" * 3000])
def test_an_unknown_job_is_not_found(house: RestHouse, method: str, name: str) -> None:
    assert house.client.request(method, f"/api/v2/jobs/{name}").status_code == 404


def test_jobs_are_listed_in_pages_and_by_state(house: RestHouse) -> None:
    names = [ended(house, queue(house)["id"])["id"] for _ in range(5)]
    waiting = held(house, 2)
    first = house.client.get("/api/v2/jobs", params={"limit": 4}).json()
    second = house.client.get("/api/v2/jobs", params={"limit": 4, "before": first["next"]}).json()
    assert [one["id"] for one in first["jobs"] + second["jobs"]] == [*reversed(waiting), *reversed(names)]
    assert second["next"] is None
    live = house.client.get("/api/v2/jobs", params={"state": ["queued", "running"]}).json()["jobs"]
    assert [(one["id"], one["state"], one["place"]) for one in live] == [
        (waiting[1], "queued", 1), (waiting[0], "running", None),
    ]  # fmt: skip
    for wrong in ({"limit": 0}, {"limit": 1000}, {"state": "lost"}, {"before": "x"}, {"before": -1}):
        assert house.client.get("/api/v2/jobs", params=wrong).status_code == 422


def test_waiting_jobs_are_moved(house: RestHouse) -> None:
    running, *waiting = held(house, 4)
    assert house.client.post(f"/api/v2/jobs/{waiting[2]}/move", json={"place": 1}).json()["place"] == 1
    assert [handle.id for handle in house.services.desk.waiting()] == [waiting[2], waiting[0], waiting[1]]
    assert house.client.post(f"/api/v2/jobs/{waiting[2]}/move", json={"place": 99}).json()["place"] == 3
    assert house.client.post(f"/api/v2/jobs/{running}/move", json={"place": 1}).status_code == 409
    for wrong in ({}, {"place": 0}, {"place": "x"}, {"place": 1, "more": 1}, []):
        assert house.client.post(f"/api/v2/jobs/{waiting[0]}/move", json=wrong).status_code == 422
    house.runner.gate.set()
    ended(house, waiting[2])
    assert [request.seed.seed for request in house.runner.seen] == [-1, 1, 2, 3]


def test_a_paused_queue_starts_nothing(house: RestHouse) -> None:
    assert house.client.post("/api/v2/queue/pause").json()["paused"]
    name = queue(house)["id"]
    time.sleep(0.1)
    assert job(house, name)["state"] == "queued"
    assert house.client.get("/api/v2/queue").json()["waiting"] == 1
    assert not house.client.post("/api/v2/queue/resume").json()["paused"]
    assert ended(house, name)["state"] == "finished"


def test_jobs_are_cancelled_and_forgotten(house: RestHouse) -> None:
    house.runner.before_step = lambda _step: time.sleep(0.01)
    running, waiting = held(house, 2)
    assert house.client.delete(f"/api/v2/jobs/{waiting}").json()["cancelled"]
    assert job(house, waiting)["state"] == "not run"
    assert house.client.delete(f"/api/v2/jobs/{running}").json()["cancelled"]
    house.runner.gate.set()
    assert ended(house, running)["state"] == "interrupted"
    for name in (running, waiting):
        assert house.client.delete(f"/api/v2/jobs/{name}").json()["forgotten"]
        assert house.client.get(f"/api/v2/jobs/{name}").status_code == 404
    assert house.services.ledger.entries() == []


@pytest.mark.parametrize("how", ["interrupt", "skip", "stop"])
def test_running_jobs_are_ended_early(house: RestHouse, how: str) -> None:
    house.runner.before_step = lambda _step: time.sleep(0.002)
    (running,) = held(house, 1)
    assert house.client.post(f"/api/v2/jobs/{running}/{how}").status_code == 200
    house.runner.gate.set()
    assert ended(house, running)["state"] == ("finished" if how == "skip" else "interrupted")
    assert house.client.post(f"/api/v2/jobs/{running}/{how}").status_code == 409


def test_a_job_is_run_again(house: RestHouse) -> None:
    first = queue(house, seed=7, prompt="again")
    ended(house, first["id"])
    copy = house.client.post(f"/api/v2/jobs/{first['id']}/again")
    assert copy.status_code == 202
    assert copy.json()["id"] != first["id"]
    ended(house, copy.json()["id"])
    assert house.runner.seen[0] == house.runner.seen[1]


def test_the_stream_tells_the_story_and_can_be_taken_up_again(house: RestHouse) -> None:
    house.services.settings.set({"show_progress_every_n_steps": 1})
    (name,) = held(house, 1)
    house.services.desk.find(name).touch()  # pyright: ignore[reportOptionalMemberAccess]
    house.runner.gate.set()
    ended(house, name)
    whole = follow(house, name, previews="inline")
    assert whole.headers["content-type"].startswith("text/event-stream")
    told = events_of(whole.text)
    assert told[0][1] == "started"
    assert told[-1][1] == "finished"
    assert told[-1][2]["files"][0]["url"] == f"/api/v2/jobs/{name}/files/0"
    assert next(data for _, event, data in told if event == "preview")["data"]
    for position, (number, _, _) in enumerate(told[:-1]):
        assert events_of(follow(house, name, last=number, previews="inline").text) == told[position + 1 :]
    assert follow(house, name, last=told[-1][0]).status_code == 204
    of_another_run = f"0-{len(told)}"
    assert events_of(follow(house, name, last=of_another_run, previews="inline").text) == told
    assert "preview" not in [event for _, event, _ in events_of(follow(house, name, previews="none").text)]
    assert follow(house, name, previews="loud").status_code == 422


def test_a_silent_stream_says_that_it_lives_and_where_the_job_stands(
    house: RestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    house.services.desk.pause()
    names = [queue(house)["id"] for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(follow, house, names[1])
        time.sleep(0.4)
        house.client.delete(f"/api/v2/jobs/{names[0]}")
        time.sleep(0.3)
        house.client.delete(f"/api/v2/jobs/{names[1]}")
        text = asked.result(10).text
    assert text.startswith("retry: ")
    assert text.count(": still here") >= 2
    told = events_of(text)
    assert [data["place"] for _, name, data in told if name == "queued"] == [2, 1]
    assert (told[-1][1], told[-1][2]["state"]) == ("failed", "not run")


def test_a_failed_job_says_why(house: RestHouse) -> None:
    def fail(_step: int) -> None:
        raise ValueError("/secret/place/file is broken")

    house.runner.before_step = fail
    name = queue(house)["id"]
    told = ended(house, name)
    assert told["state"] == "failed"
    assert told["error"] == {"type": "ValueError", "message": "file is broken"}
    assert events_of(follow(house, name).text)[-1][1] == "failed"


def test_a_job_of_an_earlier_run_is_known_by_its_files(house: RestHouse, tmp_path: Path) -> None:
    name = ended(house, queue(house)["id"])["id"]
    picture, other = tmp_path / "00001.png", tmp_path / "secret.txt"
    picture.write_bytes(png(8, 8, "text"))
    other.write_text("secret")
    link = tmp_path / "link.png"
    link.symlink_to(other)
    files = [picture, other, link, tmp_path / "gone.png"]
    house.services.ledger.end(name, JobState.FINISHED, time.time(), files)
    house.services.engine.forget(name)
    told = job(house, name)
    assert [one["name"] for one in told["files"]] == [path.name for path in files]
    answers = [house.client.get(f"/api/v2/jobs/{name}/files/{number}") for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 404]
    assert answers[0].content == picture.read_bytes()
    assert answers[0].headers["content-disposition"].startswith("attachment")
    assert events_of(follow(house, name).text) == [("", "finished", told)]
    again = house.client.post(f"/api/v2/jobs/{name}/again").json()
    assert ended(house, again["id"])["state"] == "finished"


def test_health_readiness_and_models(house: RestHouse, tmp_path: Path) -> None:
    assert house.client.get("/api/v2/health").json() == {"status": "alive"}
    answer = house.client.get("/api/v2/ready")
    assert answer.json() == {"status": "ready", "checks": {"worker": True, "model": True, "disk": True}}
    assert [one["name"] for one in house.client.get("/api/v2/models").json()["checkpoints"]] == ["toy"]
    house.services.engine.shutdown(5)
    answer = house.client.get("/api/v2/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"worker": "no worker takes jobs"})
    assert int(answer.headers["retry-after"]) > 0


def test_health_answers_before_anything_else_does(tmp_path: Path) -> None:
    with rest_house(tmp_path, attach=False) as house:
        assert house.client.get("/api/v2/health").status_code == 200
        assert house.client.get("/api/v2/ready").status_code == 503


def test_metrics_are_what_prometheus_reads(house: RestHouse) -> None:
    ended(house, queue(house)["id"])
    answer = house.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert samples['webui_jobs_ended_total{kind="txt2img",state="finished"}'] == "1"
    assert samples["webui_pictures_total"] == "1"
    assert float(samples["webui_job_run_seconds_sum"]) > 0
    named = {line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")}
    assert {name.partition("{")[0].removesuffix("_sum").removesuffix("_count") for name in samples} <= named


def test_metrics_need_their_flag(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        assert house.client.get("/metrics").status_code == 404


@pytest.mark.parametrize("path", ["/api/v2/jobs", "/api/v2/ready", "/api/v2/health", "/metrics", "/internal/queue"])
def test_everything_asks_for_the_password(tmp_path: Path, path: str) -> None:
    with rest_house(tmp_path, "--metrics", "--api-auth", "ann:secret") as house:
        assert house.client.get(path).status_code == 401
        assert house.client.get(path, auth=("ann", "secret")).status_code == 200


def test_people_see_only_their_own_jobs(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--api-auth", "ann:a,bob:b") as house:
        house.services.desk.pause()
        ann, bob = ("ann", "a"), ("bob", "b")
        names = [house.client.post("/api/v2/jobs", json=SMALL, auth=who).json()["id"] for who in (ann, bob, bob)]
        assert house.client.get(f"/api/v2/jobs/{names[0]}", auth=bob).status_code == 404
        assert house.client.delete(f"/api/v2/jobs/{names[0]}", auth=bob).status_code == 404
        listed = house.client.get("/api/v2/jobs", auth=bob).json()["jobs"]
        assert [one["id"] for one in listed] == [names[2], names[1]]
        moved = house.client.post(f"/api/v2/jobs/{names[2]}/move", json={"place": 1}, auth=bob)
        assert moved.json()["place"] == 2
        assert [handle.id for handle in house.services.desk.waiting()] == [names[0], names[2], names[1]]
        seen = house.client.get("/internal/queue", auth=bob).json()["jobs"]
        assert [one["id"] for one in seen] == [None, names[2], names[1]]


def test_foreign_pages_are_refused(house: RestHouse) -> None:
    answer = house.client.post("/api/v2/jobs", json=SMALL, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert house.client.post("/api/v2/jobs", content="{}", headers={"content-type": "text/plain"}).status_code == 415


def test_the_description_of_the_api_reads_well(house: RestHouse) -> None:
    described = house.client.get("/openapi.json").json()
    ours = {path: one for path, one in described["paths"].items() if path.startswith("/api/v2")}
    assert len(ours) >= 14
    for path, methods in ours.items():
        for one in methods.values():
            assert one["tags"][0].startswith("v2"), path
            assert one["description"], path
    body = ours["/api/v2/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["discriminator"]["propertyName"] == "kind"
    assert {tag["name"] for tag in described["tags"]} >= {
        one["tags"][0] for ways in ours.values() for one in ways.values()
    }
    told = ours["/api/v2/jobs/{job_id}"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    real = job(house, ended(house, queue(house)["id"])["id"])
    assert set(told) == {key for key, value in real.items() if value is not None}


def test_checkpoints_are_merged_as_a_job(house: RestHouse) -> None:
    house.services.desk.pause()
    body = {"kind": "modelmerger", "primary_model_name": "toy", "secondary_model_name": "toy", "multiplier": 0.5}
    accepted = house.client.post("/api/v2/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["files"] == []
    assert house.client.post("/api/v2/jobs", json={**body, "multiplier": 99}).status_code == 422
    assert house.client.post("/api/v2/jobs", json={**body, "primary_model_name": "none"}).status_code == 422
    assert house.client.post("/api/v2/jobs", json={**body, "save_images": True}).status_code == 422
    name = accepted.json()["id"]
    house.client.delete(f"/api/v2/jobs/{name}")
    house.services.ledger.end(name, JobState.FINISHED, time.time(), [Path("merged.safetensors")])
    house.services.engine.forget(name)
    assert job(house, name)["files"] == [{"n": 0, "url": None, "name": "merged.safetensors", "format": "safetensors"}]
    assert house.client.get(f"/api/v2/jobs/{name}/files/0").status_code == 404
