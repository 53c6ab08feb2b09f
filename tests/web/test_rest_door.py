"""Who may come in, and what every answer carries."""

import base64
import gzip
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from modules import cli
from modules.domain.request import Generation
from modules.engine.job import Owner
from modules.web.rest.guard import MAX_FAILURES, Gate, Origins
from modules.web.rest.wire import USER_KEY
from modules.web.server import attach_services, create_app
from modules.web.ui.interface import Interface
from tests.web.rest_house import ORIGIN, RestHouse, rest_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path, "--api-auth", "ann:se:cret,bob:pässword") as made:
        yield made


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


POSTS = ["/sdapi/v1/txt2img", "/sdapi/v1/options", "/sdapi/v1/interrupt", "/sdapi/v1/skip", "/internal/progress",
         "/sdapi/v1/refresh-checkpoints", "/internal/jobs/x/cancel", "/sdapi/v1/png-info"]  # fmt: skip
STREAMS = ["/internal/jobs/x/events", "/internal/jobs", "/sdapi/v1/options", "/docs"]


@pytest.mark.parametrize("path", POSTS + STREAMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:7861"},
        {"origin": "http://127.0.0.1"}, {"origin": "http://localhost:7860"}, {"origin": "file://"}, {"origin": ""},
        {"origin": "http://127.0.0.1:7860.evil.example"}, {"host": "evil.example"}, {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example"}, {"origin": "http://evil.example", "host": "evil.example"},
    ],
)  # fmt: skip
def test_foreign_pages_and_hosts_are_refused(house: RestHouse, path: str, headers: dict[str, str]) -> None:
    seen = len(house.runner.seen)
    method = "POST" if path in POSTS else "GET"
    answer = house.client.request(method, path, json={} if method == "POST" else None, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert len(house.runner.seen) == seen


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": ORIGIN}, {"host": "localhost:7860"}, {"host": "localhost", "origin": "http://localhost"},
     {"host": "[::1]:7860"}, {"host": "127.0.0.5"}],
)  # fmt: skip
def test_our_own_pages_come_in(house: RestHouse, headers: dict[str, str]) -> None:
    assert house.client.get("/sdapi/v1/progress", headers=headers).status_code == 200


def test_a_preflight_from_a_foreign_page_gets_no_permission(house: RestHouse) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = house.client.options("/sdapi/v1/txt2img", headers=asked)
    assert answer.status_code in (400, 403, 405)
    assert "access-control-allow-origin" not in answer.headers


def test_a_websocket_from_a_foreign_page_is_refused(house: RestHouse) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        house.client.websocket_connect("/queue/join", headers={"origin": "http://evil.example"}),
    ):
        pass


def test_named_origins_are_allowed(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--cors-allow-origins", "http://friend.example") as house:
        friend = {"origin": "http://friend.example"}
        answer = house.client.get("/sdapi/v1/progress", headers=friend)
        assert answer.headers["access-control-allow-origin"] == "http://friend.example"
        asked = {**friend, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        assert house.client.options("/sdapi/v1/txt2img", headers=asked).status_code == 200
        assert house.client.get("/sdapi/v1/progress", headers={"origin": "http://evil.example"}).status_code == 403


def test_origins_may_be_a_pattern(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--cors-allow-origins-regex", r"https://.*\.friend\.example") as house:
        for origin, allowed in (
            ("https://a.friend.example", True), ("https://friend.example", False), ("http://a.friend.example", False),
            ("https://a.friend.example.evil.example", False), ("null", False),
        ):  # fmt: skip
            answer = house.client.get("/sdapi/v1/progress", headers={"origin": origin})
            assert answer.status_code == (200 if allowed else 403), origin
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_any_origin_comes_without_credentials(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--cors-allow-origins", "*") as house:
        answer = house.client.get("/sdapi/v1/progress", headers={"origin": "https://anybody.example"})
        assert "access-control-allow-credentials" not in answer.headers


def test_a_remote_server_answers_to_any_name_of_its_own() -> None:
    origins = Origins(only_loopback=False)
    assert origins.refuses_host("box.lan:7860") is None
    assert origins.refuses_origin("http://box.lan:7860", "box.lan:7860") is None
    assert origins.refuses_origin("https://box.lan", "box.lan:443") is None
    assert origins.refuses_origin("http://evil.example", "box.lan:7860") is not None
    assert origins.refuses_origin("http://[broken", "box.lan") is not None


def every_path(house: RestHouse) -> list[tuple[str, str]]:
    spec = house.client.get("/openapi.json", headers=basic("ann", "se:cret")).json()["paths"]
    found = [(method.upper(), path) for path, methods in spec.items() for method in methods]
    return [*found, ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/no/such/path"), ("GET", "/")]


def test_every_route_asks_for_credentials(locked: RestHouse) -> None:
    for method, path in every_path(locked):
        answer = locked.client.request(method, path, json={} if method == "POST" else None)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert set(answer.json()) in ({"error", "detail", "body", "errors"}, {"error"}), path


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !!!", "Basic YQ==", "Basic " + "A" * 5000, "Bearer x", "basic " + base64.b64encode(b"\xff:\xfe").decode(),
     basic("ann", "wrong")["authorization"], basic("nobody", "se:cret")["authorization"], basic("ann", "")["authorization"]],
)  # fmt: skip
def test_wrong_credentials(locked: RestHouse, authorization: str) -> None:
    answer = locked.client.get("/sdapi/v1/samplers", headers={"authorization": authorization})
    assert (answer.status_code, answer.json()["detail"]) == (401, "Incorrect username or password")
    assert "se:cret" not in answer.text


def test_right_credentials_and_secrets_stay_secret(locked: RestHouse) -> None:
    for name, password in (("ann", "se:cret"), ("bob", "pässword")):
        answer = locked.client.get("/sdapi/v1/cmd-flags", headers=basic(name, password))
        assert answer.status_code == 200
        assert "se:cret" not in answer.text
        assert "pässword" not in json.dumps(answer.json(), ensure_ascii=False)


def test_too_many_failures_are_slowed_down(locked: RestHouse) -> None:
    for _ in range(MAX_FAILURES):
        assert locked.client.get("/internal/ping", headers=basic("ann", "guess")).status_code == 401
    answer = locked.client.get("/internal/ping", headers=basic("ann", "se:cret"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_a_block_ends_and_is_for_one_address() -> None:
    now = 0.0
    gate = Gate([("a", "b")], clock=lambda: now)
    for _ in range(MAX_FAILURES):
        gate.failed("1.2.3.4")
    assert gate.is_blocked("1.2.3.4")
    assert not gate.is_blocked("1.2.3.5")
    now = 61.0
    assert not gate.is_blocked("1.2.3.4")


def test_checking_takes_the_same_time_for_known_and_unknown_users() -> None:
    gate = Gate([(f"user{i}", "p" * 40) for i in range(5)])
    headers = [basic("user0", "p" * 39 + "x"), basic("nobody", "q" * 40)]
    times: list[list[float]] = [[], []]
    for _ in range(2000):
        for index, header in enumerate(headers):
            began = time.perf_counter()
            gate.user(header["authorization"])
            times[index].append(time.perf_counter() - began)
    first, second = (statistics.median(one) for one in times)
    assert max(first, second) / min(first, second) < 1.1


def test_jobs_of_others_are_out_of_reach(locked: RestHouse) -> None:
    handle = locked.services.desk.accept(Generation(), Owner(source="api", user="bob"))
    handle.wait(5)
    mine, theirs = basic("bob", "pässword"), basic("ann", "se:cret")
    for path in ("events", "images/0"):
        assert locked.client.get(f"/internal/jobs/{handle.id}/{path}", headers=mine).status_code == 200
        assert locked.client.get(f"/internal/jobs/{handle.id}/{path}", headers=theirs).status_code == 404
    assert locked.client.get("/internal/jobs", headers=theirs).json()["jobs"][0]["id"] is None
    assert locked.client.get("/internal/jobs", headers=mine).json()["jobs"][0]["id"] == handle.id


def test_the_interface_can_say_who_asks(house: RestHouse) -> None:
    handle = house.services.desk.accept(Generation(), Owner(source="ui", user="carl"))
    handle.wait(5)
    assert house.client.get(f"/internal/jobs/{handle.id}/images/0").status_code == 404

    async def logged_in(scope: Any, receive: Any, send: Any) -> None:
        await house.app({**scope, USER_KEY: "carl"}, receive, send)

    answer = TestClient(logged_in, base_url=ORIGIN).get(f"/internal/jobs/{handle.id}/images/0")
    assert answer.status_code == 200


def test_page_and_api_have_logins_of_their_own(tmp_path: Path) -> None:
    argv = ("--api-auth", "ann:a", "--gradio-auth", "bob:b", "--subpath", "deep")
    with rest_house(tmp_path, *argv) as house:
        app = create_app(cli.parse(["--api", *argv], {}, root=tmp_path))
        Interface(app, logins=[("bob", "b")])
        attach_services(app, house.services)
        with TestClient(app, base_url=ORIGIN) as client:
            for prefix in ("", "/deep"):
                for path, right in (
                    ("/sdapi/v1/samplers", ("ann", "a")),
                    ("/internal/jobs", ("bob", "b")),
                    ("/openapi.json", ("bob", "b")),
                ):
                    assert client.get(prefix + path).status_code == 401, path
                    assert client.get(prefix + path, auth=right).status_code == 200, path
                for path, wrong in (("/sdapi/v1/samplers", ("bob", "b")), ("/internal/jobs", ("ann", "a"))):
                    assert client.get(prefix + path, auth=wrong).status_code == 401, path


def test_the_login_of_the_page_opens_an_api_without_one(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        app = create_app(cli.parse(["--api", "--gradio-auth", "bob:b"], {}, root=tmp_path))
        Interface(app, logins=[("bob", "b")])
        attach_services(app, house.services)
        with TestClient(app, base_url=ORIGIN) as client:
            assert client.get("/sdapi/v1/samplers").status_code == 401
            assert client.get("/sdapi/v1/samplers", auth=("bob", "b")).status_code == 200


def test_before_the_services_are_there(tmp_path: Path) -> None:
    with rest_house(tmp_path, attach=False) as house:
        assert house.client.get("/internal/ping").json() == {}
        answer = house.get("/samplers")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        page = house.client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert 'http-equiv="refresh"' in page.text
        attach_services(house.app, house.services)
        assert house.get("/samplers").status_code == 200


def test_after_closing_the_desk(tmp_path: Path) -> None:
    with rest_house(tmp_path) as house:
        house.services.desk.close()
        answer = house.txt2img()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_every_answer_says_how_long_it_took(house: RestHouse) -> None:
    for path in ("/internal/ping", "/sdapi/v1/options", "/no/such", "/sdapi/v1/img2img"):
        assert len(house.client.get(path).headers["x-process-time"].split(".")[1]) == 4


def test_compression(house: RestHouse) -> None:
    plain = house.client.get("/sdapi/v1/options", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with house.client.stream("GET", "/sdapi/v1/options", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(raw)
    assert gzip.decompress(raw) == plain.content
    assert "content-encoding" not in house.client.get("/internal/ping").headers
    large = house.txt2img(width=1024, height=1024, prompt="x" * 40_000)
    assert large.headers["content-encoding"] == "gzip"
    assert large.json()["parameters"]["width"] == 1024


def test_one_log_line_per_api_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="modules.web.rest.wire")
    with rest_house(tmp_path, "--api-log") as house:
        house.get("/samplers")
        house.client.get("/internal/ping")
    lines = [record.getMessage() for record in caplog.records if record.name == "modules.web.rest.wire"]
    assert len(lines) == 1
    assert "200" in lines[0]
    assert "/sdapi/v1/samplers" in lines[0]


@pytest.mark.parametrize("path", ["/sd/sdapi/v1/samplers", "/sdapi/v1/samplers", "/sd/internal/ping"])
def test_a_prefix_works_with_and_without_a_proxy_that_cuts_it(tmp_path: Path, path: str) -> None:
    with rest_house(tmp_path, "--subpath", "sd") as house:
        assert house.client.get(path).status_code == 200
        answer: Any = house.client.post(
            "/sd/sdapi/v1/options", content=b"{", headers={"content-type": "application/json"}
        )
        assert answer.json()["detail"][0]["type"] == "json_invalid"
