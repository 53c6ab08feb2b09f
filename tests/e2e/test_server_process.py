"""The program as people start it: `webui.py` in a process of its own, spoken to over HTTP."""

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.imaging.read_info import read_picture_info
from tests.e2e.process import DEAD, Program, data_folder, program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are those of POSIX")

SMALL = {"width": 64, "height": 64, "steps": 4, "prompt": "a (red:1.2) fox", "negative_prompt": "blue"}


def pictures(answer: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(text) for text in answer["images"]]


def later(call: Any) -> tuple[threading.Thread, list[Any]]:
    """Call in a thread of its own; its result goes to the list."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One program without internet, with two good checkpoints and a broken one."""
    data = data_folder(tmp_path_factory.mktemp("running"), "toy.safetensors", "zebra.safetensors")
    folder = data / "models" / "Stable-diffusion"
    (folder / "broken.safetensors").write_bytes((folder / "toy.safetensors").read_bytes()[:-100])
    (data / "config.json").write_text(json.dumps({"sd_model_checkpoint": "toy.safetensors"}), encoding="utf-8")
    with program(data, "--nowebui") as made:
        yield made


def test_it_answers_before_it_can_do_anything(tmp_path: Path) -> None:
    made = Program(data_folder(tmp_path), "--nowebui")
    try:
        assert made.wait("/internal/ping") < 8
    finally:
        made.process.kill()
        made.process.wait(10)


def test_a_picture_can_be_made_again_from_what_it_tells(running: Program) -> None:
    answer = running.api("/txt2img", SMALL)
    (picture,) = pictures(answer)
    assert picture.startswith(b"\x89PNG")
    told = running.api("/png-info", {"image": answer["images"][0]})
    assert told["info"] == read_picture_info(picture).infotext
    assert int(told["parameters"]["Seed"]) == json.loads(answer["info"])["seed"]
    again = running.api("/txt2img", {"infotext": told["info"]})
    assert pictures(again) == [picture]
    assert again["parameters"]["prompt"] == SMALL["prompt"]


def test_another_checkpoint_makes_another_picture_and_is_named(running: Program) -> None:
    first = running.api("/txt2img", {**SMALL, "seed": 1})
    other = running.api("/txt2img", {**SMALL, "seed": 1, "override_settings": {"sd_model_checkpoint": "zebra"}})
    assert pictures(first) != pictures(other)
    assert "Model: zebra" in json.loads(other["info"])["infotexts"][0]
    assert {one["model_name"] for one in running.api("/sd-models")} == {"toy", "zebra", "broken"}


def test_a_broken_checkpoint_is_one_clear_line(running: Program) -> None:
    before = len(running.told().splitlines())
    status, raw = running.ask(
        "POST", "/sdapi/v1/txt2img", {**SMALL, "override_settings": {"sd_model_checkpoint": "broken"}}
    )
    assert status == 422
    assert json.loads(raw)["detail"].startswith("broken.safetensors: ")
    lines = running.told().splitlines()[before:]
    assert len([line for line in lines if "broken.safetensors" in line]) == 1, lines
    assert not any("Traceback" in line for line in lines)
    assert pictures(running.api("/txt2img", SMALL))


def test_progress_can_be_watched_and_a_job_ended_early(running: Program) -> None:
    thread, answers = later(lambda: running.api("/txt2img", {**SMALL, "steps": 150, "n_iter": 50, "seed": 5}))
    seen = running.waits_until(lambda found: found["state"]["sampling_step"] > 1 and found["current_image"])
    assert 0 < seen["progress"] < 1
    assert seen["state"]["sampling_steps"] == 150
    assert seen["state"]["job_count"] == 50
    running.api("/interrupt", {})
    thread.join(20)
    (answer,) = answers
    assert 1 <= len(answer["images"]) < 50
    assert running.api("/progress")["progress"] == 0


def test_skipping_goes_on_with_the_next_picture(running: Program) -> None:
    thread, answers = later(lambda: running.api("/txt2img", {**SMALL, "steps": 150, "n_iter": 2}))
    running.waits_until(lambda found: found["state"]["sampling_step"] > 1)
    running.api("/skip", {})
    thread.join(30)
    assert len(pictures(answers[0])) == 2


def test_options_survive_a_restart_and_the_api_can_be_locked(tmp_path: Path) -> None:
    data = data_folder(tmp_path, "toy.safetensors")
    with program(data, "--nowebui") as first:
        first.api("/options", {"jpeg_quality": 41, "CLIP_stop_at_last_layers": 2})
        first.process.send_signal(signal.SIGTERM)  # while it still imports torch
        assert first.process.wait(20) == 0, first.told()
    with program(data, "--nowebui", "--api-auth", "ann:secret", login="ann:secret") as second:
        options = second.api("/options", login="ann:secret")
        assert (options["jpeg_quality"], options["CLIP_stop_at_last_layers"]) == (41, 2)
        answer = second.api("/txt2img", SMALL, login="ann:secret")
        assert "Clip skip: 2" in json.loads(answer["info"])["infotexts"][0]
        for login in ("", "ann:wrong", "bob:secret"):
            assert second.ask("POST", "/sdapi/v1/txt2img", SMALL, login)[0] == 401
        assert "secret" not in second.told()


def test_without_a_checkpoint_it_starts_and_says_what_to_do(tmp_path: Path) -> None:
    with program(data_folder(tmp_path), "--nowebui") as made:
        assert made.api("/sd-models") == []
        status, raw = made.ask("POST", "/sdapi/v1/txt2img", SMALL)
        assert status == 422
        assert "Put a .safetensors file into" in json.loads(raw)["detail"]
        make_toy_checkpoint(tmp_path / "data" / "models" / "Stable-diffusion" / "late.safetensors")
        assert made.ask("POST", "/sdapi/v1/refresh-checkpoints", {})[0] == 200
        assert pictures(made.api("/txt2img", SMALL))
        assert "Traceback" not in made.told()


def test_ctrl_c_ends_it_quickly_and_leaves_no_process_behind(tmp_path: Path) -> None:
    with program(data_folder(tmp_path, "toy.safetensors"), "--nowebui") as made:
        thread, answers = later(lambda: made.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "steps": 150, "n_iter": 64}))
        made.waits_until(lambda found: found["state"]["sampling_step"] > 1)
        children = psutil.Process(made.process.pid).children(recursive=True)
        began = time.monotonic()
        made.process.send_signal(signal.SIGINT)
        assert made.process.wait(10) == 0
        assert time.monotonic() - began < 2.5
        assert not any(child.is_running() for child in children)
        thread.join(10)
        assert answers[0][0] == 200
        assert "Traceback" not in made.told()


def test_places_are_where_the_flags_say_and_a_second_process_is_warned(running: Program, tmp_path: Path) -> None:
    data = data_folder(tmp_path)
    models, further, single = tmp_path / "models", tmp_path / "further", tmp_path / "single.safetensors"
    (models / "Stable-diffusion").mkdir(parents=True)
    further.mkdir()
    make_toy_checkpoint(models / "Stable-diffusion" / "a.safetensors", 1)
    make_toy_checkpoint(further / "b.safetensors", 2)
    make_toy_checkpoint(single, 3)
    argv = ("--models-dir", str(models), "--ckpt-dir", str(further), "--ckpt", str(single))
    with program(data, "--nowebui", *argv) as made:
        assert [one["model_name"] for one in made.api("/sd-models")] == ["single", "a", "b"]
        answer = made.api("/txt2img", {**SMALL, "save_images": True})
        assert "Model: single" in json.loads(answer["info"])["infotexts"][0]
        (saved,) = (data / "outputs").rglob("*.png")
        assert saved.read_bytes() == pictures(answer)[0]
        assert not (data / "models" / "Stable-diffusion" / "a.safetensors").exists()
        assert (data / "jobs.sqlite3").is_file()
        second = Program(data, "--nowebui")
        try:
            second.wait()
            assert f"process {made.process.pid} on " in second.told()
            assert "already uses the data folder" in second.told()
        finally:
            second.process.kill()
            second.process.wait(10)
        assert "already uses" not in made.told()


def test_nothing_was_asked_of_the_internet(running: Program) -> None:
    assert DEAD.removeprefix("http://") not in running.told()
    assert "Traceback" not in running.told()
