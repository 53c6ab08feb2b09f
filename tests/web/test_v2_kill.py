"""The program is killed at random moments and started again: no job is lost, none runs twice."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import Program, data_folder, program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are those of POSIX")
SMALL = {"kind": "txt2img", "width": 64, "height": 64, "steps": 8}
JOBS = 5


@contextmanager
def killed(data: Path) -> Iterator[Program]:
    """Run the program, and kill it at the end without a word."""
    with program(data, "--nowebui") as running:
        yield running
        running.process.kill()
        running.process.wait(10)


def ask(running: Program, path: str, body: Any = None, method: str = "") -> Any:
    status, raw = running.ask(method or ("GET" if body is None else "POST"), f"/api/v2{path}", body)
    assert status in (200, 202), raw[:1000]
    return json.loads(raw)


def jobs(running: Program) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in ask(running, "/jobs?limit=200")["jobs"]}


def all_ended(running: Program) -> dict[str, dict[str, Any]]:
    for _ in range(1500):
        found = jobs(running)
        if all(one["ended_at"] is not None for one in found.values()):
            return found
        time.sleep(0.02)
    raise AssertionError(running.told())


def settings(data: Path, **values: Any) -> None:
    (data / "config.json").write_text(json.dumps({"samples_filename_pattern": "[seed]", **values}), encoding="utf-8")


def test_no_job_is_lost_and_none_runs_twice(tmp_path: Path) -> None:
    data, chance = data_folder(tmp_path, "toy.safetensors"), random.Random(5)
    settings(data, queue_resume_after_restart=True)
    accepted: list[str] = []
    for _ in range(3):
        with killed(data) as running:
            for _ in range(JOBS):
                accepted.append(ask(running, "/jobs", {**SMALL, "seed": len(accepted)})["id"])
            time.sleep(chance.random() * 0.6)
    with program(data, "--nowebui") as running:
        found = all_ended(running)
        assert set(found) == set(accepted)
        states = Counter(one["state"] for one in found.values())
        assert set(states) <= {"finished", "interrupted"}, states
        assert states["interrupted"] <= 3
        pictures = Counter(int(path.stem.split("-")[-1]) for path in data.rglob("outputs/**/*.png"))
        for seed, name in enumerate(accepted):
            assert pictures[seed] <= 1
            if found[name]["state"] == "finished":
                assert pictures[seed] == 1
                (file,) = found[name]["files"]
                assert running.ask("GET", file["url"])[1].startswith(b"\x89PNG")


def test_what_waited_is_offered_and_can_be_run_again(tmp_path: Path) -> None:
    data = data_folder(tmp_path, "toy.safetensors")
    settings(data)
    with killed(data) as running:
        ask(running, "/queue/pause", {})
        names = [ask(running, "/jobs", {**SMALL, "seed": seed})["id"] for seed in range(3)]
        ask(running, f"/jobs/{names[2]}/move", {"place": 1})
    with program(data, "--nowebui") as running:
        assert {name: one["state"] for name, one in jobs(running).items()} == dict.fromkeys(names, "not run")
        assert not ask(running, "/queue")["paused"]
        again = ask(running, f"/jobs/{names[0]}/again", {})["id"]
        assert all_ended(running)[again]["state"] == "finished"


def test_a_paused_queue_waits_on_in_its_order_with_its_pictures(tmp_path: Path) -> None:
    data = data_folder(tmp_path, "toy.safetensors")
    settings(data, queue_resume_after_restart=True)
    with program(data, "--nowebui") as running:
        (made,) = running.api("/txt2img", {**SMALL, "steps": 1})["images"]
        ask(running, "/queue/pause", {})
        names = [ask(running, "/jobs", {**SMALL, "seed": seed})["id"] for seed in range(2)]
        on_picture = {**SMALL, "kind": "img2img", "init_images": [made], "seed": 2}
        names.append(ask(running, "/jobs", on_picture)["id"])
        ask(running, f"/jobs/{names[2]}/move", {"place": 1})
        running.process.kill()
    with program(data, "--nowebui") as running:
        waiting = {one["place"]: name for name, one in jobs(running).items() if one["state"] == "queued"}
        assert [waiting[place] for place in (1, 2, 3)] == [names[2], names[0], names[1]]
        assert ask(running, "/queue")["paused"]
        ask(running, "/queue/resume", {})
        found = all_ended(running)
        assert [found[name]["state"] for name in names] == ["finished"] * 3
