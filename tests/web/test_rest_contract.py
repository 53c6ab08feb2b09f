"""Every path of A1111's API is there, or says what is missing."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.domain.errors import NumericalFault, OutOfMemory, StorageFault
from modules.web.rest.absent import ABSENT, SWITCHED_OFF
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


def endpoints(shared_dir: Path) -> list[dict[str, Any]]:
    return json.loads((shared_dir / "spec/api.json").read_text())["endpoints"]


def test_every_endpoint_is_served_absent_or_switched_off(shared_dir: Path, house: RestHouse) -> None:
    absent = {(method, path) for method, path, _ in ABSENT}
    listed = {(one["method"], one["path"]) for one in endpoints(shared_dir)}
    assert absent <= listed
    for method, path in sorted(listed):
        sent = base64.b64encode(png(8, 8, "x")).decode()
        body = {"image": sent, "init_images": [sent]} if path.endswith(("png-info", "img2img")) else {}
        answer = house.client.request(method, path, json=body if method == "POST" else None)
        if path in SWITCHED_OFF:
            assert answer.status_code == 404, path
        elif (method, path) in absent:
            assert answer.status_code == 501, path
            assert set(answer.json()) == {"error", "detail", "body", "errors"}
            assert answer.json()["detail"].endswith("is not supported yet")
        else:
            assert answer.status_code == 200, (path, answer.text)


def test_shapes_of_the_answers(shared_dir: Path, house: RestHouse) -> None:
    absent = {(method, path) for method, path, _ in ABSENT}
    for one in endpoints(shared_dir):
        if one["method"] != "GET" or (one["method"], one["path"]) in absent:
            continue
        shape, got = one["response"], house.client.get(one["path"]).json()
        if shape.get("_type") == "array":
            assert isinstance(got, list), one["path"]
            for item in got:
                assert set(item) == set(shape["items"]), one["path"]
        elif shape.get("_type") is None:
            assert set(got) == set(shape), one["path"]
            for name, part in shape.items():
                if "fields" in part:
                    assert set(got[name]) in (set(part["fields"]), {"error"}), (one["path"], name)


def test_answers_of_actions(house: RestHouse) -> None:
    assert house.post("/interrupt").json() == {}
    for path in ("/skip", "/refresh-checkpoints", "/refresh-vae"):
        answer = house.post(path)
        assert (answer.status_code, answer.json()) == (200, None)
    assert house.client.get("/internal/ping").json() == {}


def test_refreshing_looks_again(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        house.post("/refresh-checkpoints")
        house.post("/refresh-vae")
        assert house.refreshed == ["checkpoints", "vaes"]


def test_options_are_read_and_written(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        everything = house.get("/options").json()
        assert everything["CLIP_stop_at_last_layers"] == 1
        assert house.post("/options", {"CLIP_stop_at_last_layers": 2.0, "eta_ancestral": None}).json() is None
        assert house.get("/options").json() == {**everything, "CLIP_stop_at_last_layers": 2}
        assert house.post("/options", everything).status_code == 200
        assert house.get("/options").json() == everything
        assert json.loads((tmp_path / "config.json").read_text())["CLIP_stop_at_last_layers"] == 1


def test_png_info_reads_what_txt2img_wrote(house: RestHouse) -> None:
    text = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: 3, Size: 64x64"
    encoded = base64.b64encode(png(8, 8, text)).decode()
    for image in (encoded, f"data:image/png;base64,{encoded}"):
        answer = house.post("/png-info", {"image": image}).json()
        assert answer["info"] == text
        assert answer["items"] == {}
        assert answer["parameters"]["Seed"] == "3"
        assert answer["parameters"]["Clip skip"] == "1"


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "Steps: 1e9999, Seed: -, Size: 0x0", 'a\nSteps: 1, A: "\\ud800", B: 2']
)
def test_png_info_of_hostile_texts(house: RestHouse, text: str) -> None:
    answer = house.post("/png-info", {"image": base64.b64encode(png(8, 8, text)).decode()})
    assert answer.status_code == 200
    assert answer.json()["info"] == text


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (OutOfMemory("memory ran out"), 500, "OutOfMemoryError"),
        (NumericalFault("NaN in the picture"), 500, "NumericalFault"),
        (StorageFault("disk full"), 507, "StorageFault"),
        (ValueError("cannot read /srv/someone/private/model.bin"), 500, "ValueError"),
        (ValueError("half a \ud800 surrogate"), 500, "ValueError"),
    ],
)
def test_faults_of_a_job(tmp_path: Path, error: Exception, status: int, name: str) -> None:
    def fail(_step: int) -> None:
        raise error

    with rest_house(tmp_path) as house:
        house.runner.before_step = fail
        answer = house.txt2img()
        assert (answer.status_code, answer.json()["error"]) == (status, name)
        assert answer.json()["errors"]
        assert not any(word in answer.text for word in ("Traceback", "/home", "someone", str(tmp_path)))
        assert house.get("/progress").json()["state"]["job_count"] == 0
        house.runner.before_step = lambda _step: None
        assert house.txt2img().status_code == 200


def test_a_fault_of_a_route_has_an_id_that_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with rest_house(tmp_path) as house:
        broken = {"samplers": lambda: [][1]}
        from dataclasses import replace

        house.app.state.services = replace(house.services, **broken)
        answer = house.get("/samplers")
        assert (answer.status_code, answer.json()["error"]) == (500, "IndexError")
        assert answer.json()["id"] in caplog.text
        assert "Traceback" in caplog.text


def test_without_the_flag_there_is_no_api(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from modules import cli
    from modules.web.server import create_app

    app = create_app(cli.parse([], {}, root=tmp_path))
    app.state.services = object()
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/sdapi/v1/samplers").status_code == 404
        assert client.get("/internal/ping").status_code == 200
