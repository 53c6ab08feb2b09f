"""Every path of A1111's API is there, or says what is missing."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.domain.errors import NumericalFault, OutOfMemory, StorageFault
from modules.web.rest.absent import ABSENT, SWITCHED_OFF
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


SENT = base64.b64encode(png(16, 16, "a\nSteps: 1, Sampler: Euler, Seed: 1")).decode()
BODIES: dict[str, Any] = {
    "/sdapi/v1/txt2img": {"steps": 2, "width": 64, "height": 64},
    "/sdapi/v1/img2img": {"steps": 2, "width": 64, "height": 64, "init_images": [SENT]},
    "/sdapi/v1/extra-single-image": {"image": SENT, "upscaler_1": "Lanczos"},
    "/sdapi/v1/extra-batch-images": {"imageList": [{"data": SENT, "name": "a.png"}], "upscaler_1": "Nearest"},
    "/sdapi/v1/png-info": {"image": SENT},
    "/sdapi/v1/options": {},
    "/internal/progress": {},
}
"""What is sent to paths that need a body."""
NOTHING_THERE = ("/sd_extra_networks/thumb", "/sd_extra_networks/cover-images")
"""Paths that answer 404 without the name of something."""
OF_OUR_OWN = {"hr_cfg"}
"""Fields beyond A1111's, in the words of its forks."""


def endpoints(shared_dir: Path) -> list[dict[str, Any]]:
    return json.loads((shared_dir / "spec/api.json").read_text())["endpoints"]


def served(shared_dir: Path) -> list[dict[str, Any]]:
    """Return the endpoints that are there."""
    left_out = {(method, path) for method, path, _ in ABSENT}
    found = [one for one in endpoints(shared_dir) if one["path"] not in SWITCHED_OFF]
    return [one for one in found if (one["method"], one["path"]) not in left_out]


def test_every_endpoint_is_served_absent_or_switched_off(shared_dir: Path, house: RestHouse) -> None:
    absent = {(method, path) for method, path, _ in ABSENT}
    listed = {(one["method"], one["path"]) for one in endpoints(shared_dir)}
    assert absent <= listed
    for method, path in sorted(listed):
        body = BODIES.get(path, {}) if method == "POST" else None
        answer = house.client.request(method, path, json=body)
        if path in SWITCHED_OFF:
            assert answer.status_code == 404, path
        elif (method, path) in absent:
            assert answer.status_code == 501, path
            assert set(answer.json()) == {"error", "detail", "body", "errors"}
            assert answer.json()["detail"].endswith("is not supported yet")
        elif path in NOTHING_THERE:
            assert (answer.status_code, answer.json()["detail"]) == (404, "File not found"), path
        else:
            assert answer.status_code == 200, (path, answer.text)


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def kinds(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a schema accepts."""
    parts = schema.get("anyOf", [])
    found = {kind for part in parts for kind in kinds(part)}
    return found | ({schema["type"]} if "type" in schema else set())


def wanted_kinds(text: str) -> set[str]:
    """Return the JSON types of a type in the contract, such as `string|array<integer|string>`."""
    outer = re.sub(r"<.*>", "", text)
    return set(outer.split("|"))


def described(document: dict[str, Any], one: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields of a request as our OpenAPI document describes them."""
    operation = document["paths"][one["path"]][one["method"].lower()]
    found = {part["name"]: part["schema"] for part in operation.get("parameters", [])}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return found | (resolved(document, content["schema"]).get("properties", {}) if content else {})


def test_requests_are_described_as_in_the_contract(shared_dir: Path, house: RestHouse) -> None:
    document = house.client.get("/openapi.json").json()
    for one in served(shared_dir):
        wanted = {name: part for name, part in one.get("request", {}).items() if not name.startswith("<")}
        fields = described(document, one)
        assert set(fields) - OF_OUR_OWN == set(wanted), one["path"]
        for name, part in wanted.items():
            place = (one["path"], name)
            assert kinds(fields[name]) - {"null"} == wanted_kinds(part["type"]) - {"null"}, place
            if "default" in part:
                assert fields[name].get("default") == part["default"], place


KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),), "any": (object,),
}  # fmt: skip


def fits(value: Any, kind: str) -> bool:
    """Tell whether a value is of a type in the contract, so far as its outermost part goes."""
    allowed = tuple(one for name in wanted_kinds(kind) for one in KINDS[re.split(r"[{]", name)[0]])
    return isinstance(value, allowed) and not (
        isinstance(value, bool) and bool not in allowed and object not in allowed
    )


def check_parts(place: str, value: dict[str, Any], parts: dict[str, Any]) -> None:
    assert set(value) == set(parts), place
    for name, part in parts.items():
        assert fits(value[name], part["type"]), (place, name, value[name])
        if "fields" in part and set(value[name]) != {"error"}:
            assert set(value[name]) == set(part["fields"]), (place, name)
            for inner, kind in part["fields"].items():
                assert fits(value[name][inner], kind), (place, name, inner)


def filled(folder: Path) -> None:
    """Put something into every folder that is listed."""
    from safetensors.numpy import save_file

    (folder / "embeddings").mkdir()
    (folder / "Lora").mkdir()
    (folder / "hypernetworks").mkdir()
    save_file({"emb_params": np.zeros((3, 768), np.float32)}, folder / "embeddings" / "style.safetensors")
    save_file(
        {"a.lora_up.weight": np.zeros((4, 1), np.float32)}, folder / "Lora" / "l.safetensors", {"ss_output_name": "x"}
    )
    (folder / "hypernetworks" / "h.pt").write_bytes(b"not looked into")


def test_answers_have_the_fields_and_types_of_the_contract(shared_dir: Path, tmp_path: Path) -> None:
    filled(tmp_path)
    empty: set[str] = set()
    with rest_house(tmp_path) as house:
        for one in served(shared_dir):
            shape, path = one["response"], one["path"]
            if path.startswith("/sd_extra_networks/"):
                continue  # answers of test_rest_cards.py
            body = BODIES.get(path, {}) if one["method"] == "POST" else None
            answer = house.client.request(one["method"], path, json=body)
            kind = shape.get("_type")
            if kind == "text":
                assert answer.headers["content-type"].startswith("text/plain")
            elif kind == "null":
                assert answer.json() is None, path
            elif kind == "array":
                empty |= {path} if not answer.json() else set()
                for item in answer.json():
                    check_parts(path, item, shape["items"])
            elif "value" in shape:
                assert answer.json() == shape["value"], path
            elif "fields" in shape:
                assert set(answer.json()) == set(shape["fields"]), path
            elif kind is None:
                parts = {name: {"type": "object"} | part for name, part in shape.items()}
                check_parts(path, answer.json(), parts)
            if "info_json" in one:
                info = json.loads(answer.json()["info"])
                assert set(info) - set(one["info_json"]) <= {"warnings", "files", "save_error"}
                for name, told in one["info_json"].items():
                    assert fits(info[name], told), (path, name, info[name])
    assert empty == {"/sdapi/v1/face-restorers", "/sdapi/v1/realesrgan-models", "/sdapi/v1/extensions"}


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


def test_every_option_of_a1111_is_answered(shared_dir: Path, house: RestHouse) -> None:
    table = (shared_dir / "spec/ui.md").read_text().split("## 14. All settings")[1]
    keys = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if re.match(r"\| \w+ \|", line)][1:]
    assert len(keys) == 324
    found = house.get("/options").json()
    assert set(keys) <= set(found)
    assert (found["font"], found["face_restoration_model"], found["sd_model_checkpoint"]) == (
        "",
        "CodeFormer",
        "toy [0123456789]",
    )


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
