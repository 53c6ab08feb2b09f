"""Bad input gets a clear answer of the right kind, and the next good request works."""

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.settings.snapshot import READ_AT_START, RESTRICTED
from tests.web.bad_inputs import ELSEWHERE, NOT_YET, Row, rows
from tests.web.rest_house import RestHouse, rest_house

ROOT = Path(__file__).resolve().parents[2]
ROWS = tuple(rows())
LAST = 203
MOST_NOT_YET = 14
"""May only get smaller."""
SLOWEST_S = 5.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made
        assert made.txt2img().status_code == 200


def kind_of(answer: Any) -> str:
    """Name the class of an answer."""
    if answer.status_code == 200:
        return ""
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert "Traceback" not in answer.text
    if isinstance(body["detail"], list):
        assert answer.status_code == 422
        assert all({"loc", "msg", "type"} <= set(line) for line in body["detail"])
        return "JSON" if body["detail"][0]["type"] == "json_invalid" else "FIELD"
    if set(body) == {"detail"}:
        return {404: "METHOD", 405: "METHOD"}[answer.status_code]
    assert {"error", "detail", "body", "errors"} <= set(body)
    if body["error"] == "LimitExceeded":
        return "LIMIT"
    if body["error"] in ("InvalidImage", "UnsupportedFeature"):
        return {"InvalidImage": "IMAGE", "UnsupportedFeature": "ABSENT"}[body["error"]]
    if body["detail"] in ("Requests not allowed", "Request to local resource not allowed", "Invalid image url"):
        return "URL"
    return {
        400: "NAME", 401: "AUTH", 403: "FORBID", 404: "NAME", 415: "JSON", 422: "NAME", 429: "BUSY", 503: "BUSY",
    }[answer.status_code]  # fmt: skip


def send(house: RestHouse, row: Row) -> Any:
    if row.raw is not None:
        return house.client.request(row.method, row.path, content=row.raw, headers=row.headers)
    body = row.sent if row.method == "POST" else None
    headers = row.headers | ({"content-type": "application/json"} if row.method == "POST" else {})
    content = json.dumps(body) if row.method == "POST" and row.path not in BODILESS else None
    return house.client.request(row.method, row.path, content=content, headers=headers)


BODILESS = tuple(f"/sdapi/v1/server-{name}" for name in ("kill", "restart", "stop"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(house: RestHouse, row: Row) -> None:
    before, jobs, began = house.get("/options").json(), len(house.runner.seen), time.monotonic()
    answer = send(house, row)
    assert time.monotonic() - began < SLOWEST_S
    assert kind_of(answer) in row.kind.split("|"), (answer.status_code, answer.text[:300])
    assert house.get("/options").json() == before
    if answer.status_code != 200:
        assert len(answer.content) < 20_000
        assert len(house.runner.seen) == jobs


def test_every_number_is_here_elsewhere_or_not_yet(shared_dir: Path) -> None:
    listed = (shared_dir / "spec/reliability.md").read_text().split("## 6.")[1].split("## 7.")[0]
    assert f"{LAST} " in listed
    assert f"{LAST + 1} " not in listed
    later = [number for numbers in NOT_YET.values() for number in numbers]
    here = {row.number for row in ROWS}
    assert here | set(ELSEWHERE) | set(later) == set(range(1, LAST + 1))
    assert len(later) == len(set(later)) <= MOST_NOT_YET
    assert not set(later) & (here | set(ELSEWHERE))


def test_the_tests_elsewhere_exist() -> None:
    for place in ELSEWHERE.values():
        path, name = place.split("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert any(isinstance(one, ast.FunctionDef) and one.name == name for one in tree.body), place


def test_an_infotext_error_names_the_line(house: RestHouse) -> None:
    answer = house.txt2img(infotext="a\nSampler: Euler, Seed: 5, CFG scale: seven", steps=None)
    assert answer.json()["detail"][0]["loc"] == ["body", "infotext"]
    assert "CFG scale" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("key", sorted(RESTRICTED))
def test_no_client_changes_what_guards_the_machine(house: RestHouse, key: str) -> None:
    before = house.get("/options").json()
    value = before[key]
    others = {"disable_all_extensions": "all"}
    other = (
        not value
        if isinstance(value, bool)
        else "/tmp"
        if isinstance(value, str)
        else [*value, "x"]
        if isinstance(value, list)
        else value + 1
    )
    other = others.get(key, other)
    assert house.post("/options", {key: other}).status_code == 200
    answer = house.txt2img(override_settings={key: other}, override_settings_restore_afterwards=False)
    if key in READ_AT_START:
        assert answer.status_code == 200
    else:
        assert (kind_of(answer), key in answer.json()["detail"]) == ("FORBID", True)
    assert house.get("/options").json() == before


def test_limits_name_their_setting(house: RestHouse) -> None:
    for body in (
        {"width": 8192, "height": 8192},
        {"batch_size": 64, "n_iter": 1000},
        {"width": 4000, "height": 4000, "n_iter": 200},
    ):
        assert "setting api_" in house.txt2img(**body).json()["detail"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_over_the_limit_is_refused(house: RestHouse, streamed: bool) -> None:
    house.services.settings.set({"api_max_body_mb": 1})
    raw = b'{"prompt": "' + b"a" * (1 << 20) + b'"}'
    content = iter([raw[:1000], raw[1000:]]) if streamed else raw
    answer = house.client.post("/sdapi/v1/txt2img", content=content, headers={"content-type": "application/json"})
    house.services.settings.set({"api_max_body_mb": 100})
    assert answer.status_code == 413
    assert "api_max_body_mb" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/options", "/png-info", "/extra-single-image"])
@pytest.mark.parametrize("raw", [b"", b"{", b"\x00", b'{"a": 1,}', b'{"a": NaN}', b'{"a": "\xff"}'])
def test_bodies_that_are_not_json(house: RestHouse, path: str, raw: bytes) -> None:
    answer = house.client.post(f"/sdapi/v1{path}", content=raw, headers={"content-type": "application/json"})
    assert kind_of(answer) in ("JSON", "FIELD"), answer.text[:300]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/no/such/path", "METHOD"), ("GET", "/internal/jobs/none/events", "NAME"),
        ("GET", "/internal/jobs/none/images/x", "FIELD"), ("GET", "/internal/jobs/..%2f..%2fetc/preview", "METHOD"),
    ],
)  # fmt: skip
def test_other_routes(house: RestHouse, method: str, path: str, kind: str) -> None:
    assert kind_of(house.client.request(method, path)) == kind


def test_a_huge_task_id_is_just_unknown(house: RestHouse) -> None:
    answer = house.client.post("/internal/progress", json={"id_task": "x" * 1_000_000})
    assert answer.json() == {
        "active": False, "queued": False, "completed": False, "progress": None, "eta": None, "live_preview": None,
        "id_live_preview": -1, "textinfo": "Waiting...",
    }  # fmt: skip


def test_answers_cut_and_clean_what_they_repeat(house: RestHouse) -> None:
    answer = house.txt2img(steps="\u202e" + "y" * 100_000)
    line = answer.json()["detail"][0]
    assert len(line["input"]) < 250
    assert json.dumps(answer.json(), allow_nan=False)
