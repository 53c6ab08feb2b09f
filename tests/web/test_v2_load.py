"""The load tests of `benchmarks/load_*.py` with a few requests: what they promise holds, whatever it takes."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import load_clients, load_full, load_mutations, load_parsers, load_soak, load_stop
from benchmarks.load_house import Server, percentile, serving, slope
from tests.web.rest_house import rest_house

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are those of POSIX")
ROOM = 12


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(settings={"queue_max_jobs": ROOM, "queue_max_jobs_per_client": 100}) as made:
        yield made


def test_clients_that_come_together_get_their_own_pictures_in_order(server: Server) -> None:
    found = load_clients.load(server, api=4, page=1, jobs=20, interrupts=3)
    assert set(found["statuses"]) <= {200, 202}
    assert found["in_order"]
    assert found["pictures_compared"] >= 12
    assert found["wrong_pictures"] == 0
    assert found["progress_statuses"] == [200]


def test_a_full_queue_refuses_and_does_the_rest_in_order(server: Server) -> None:
    found = load_full.overfill(server, ROOM, 5)
    assert (found["accepted"], found["refused"], found["with_retry_after"]) == (ROOM, 5, 5)
    assert found["finished"] == ROOM
    assert found["in_order"]


def test_changed_requests_are_answered_well(server: Server) -> None:
    found = load_mutations.mutate(server, 150, 1)
    assert found["faults"] == []
    assert found["works_afterwards"]


def test_nothing_is_held_from_job_to_job(server: Server) -> None:
    found = load_soak.soak(server, 30, 10)
    assert found["statuses"] == [200]
    for name in ("files", "threads"):
        first, last = found[name]
        assert last <= first + load_soak.SLACK, name
    assert found["rss_growth_kb"] < load_soak.GOAL_GROWTH_KB


def test_stopping_ends_what_runs_and_tells_what_waits() -> None:
    with serving() as made:
        found = load_stop.stopped(made, 3)
    assert found["status"] == 0
    assert found["answers"] == ["200", "503", "503", "503"]
    assert found["children_left"] == 0


def test_every_parser_is_timed() -> None:
    found = load_parsers.measure(200, 200, 1)
    assert len(found) == len(load_parsers.PROMPTS) + len(load_parsers.INFOTEXTS) + 1
    assert all(len(one["seconds"]) == 3 for name, one in found.items() if name != "pass")


def test_percentile_and_slope() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 3
    assert percentile([], 0.5) == 0
    assert slope([1, 3, 5, 7]) == 2
    assert slope([5]) == 0


def test_slow_readers_do_not_hold_up_a_job(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        house.services.settings.set({"show_progress_every_n_steps": 1})
        house.runner.gate.clear()
        body = {"kind": "txt2img", "steps": 40, "width": 64, "height": 64, "save_images": False}
        name = house.client.post("/api/v2/jobs", json=body).json()["id"]
        streams: list[str] = []

        def read() -> None:
            streams.append(house.client.get(f"/api/v2/jobs/{name}/events").text)

        readers = [threading.Thread(target=read) for _ in range(50)]
        for reader in readers:
            reader.start()
        time.sleep(0.3)
        house.runner.gate.set()
        for reader in readers:
            reader.join(20)
        assert len(streams) == 50
        assert all("event: finished" in stream for stream in streams)
        handle = house.services.desk.find(name)
        assert handle is not None
        assert (handle.ended_at or 0) - (handle.started_at or 0) < 15
