"""Extensions over HTTP: A1111's list, what the tab does, and what other machines are refused."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from modules.domain.request import Generation
from modules.engine.desk import Desk
from modules.engine.job import Owner
from modules.extending.loader import NativeLoader, load_all
from modules.extending.registry import Loaded
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import RequestAccepted
from modules.web.rest.extensions import extensions_router
from modules.web.server import attach_services
from tests.extending.extending_house import commit, git, make_extension
from tests.extending.test_manage import Workplace, workplace
from tests.web.rest_house import RestHouse, rest_house

PREFIX = "/internal/extensions"


def attach(house: RestHouse, place: Workplace) -> None:
    place.manager.loaded = load(place)
    house.services = replace(house.services, extensions=place.manager)
    attach_services(house.app, house.services)


def load(place: Workplace) -> Loaded:
    return load_all(place.manager.found(), [NativeLoader()])


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path / "work")


@pytest.fixture
def house(tmp_path: Path, place: Workplace) -> Iterator[RestHouse]:
    make_extension(
        place.manager.places.extra, "mine", {"style.css": "a {}", "webui_extension.py": "def register(r): pass"}
    )
    with rest_house(tmp_path, "--api") as found:
        attach(found, place)
        yield found


def done(house: RestHouse) -> dict[str, Any]:
    for _ in range(400):
        state = house.client.get(f"{PREFIX}/work").json()
        if not state["running"]:
            return state
        time.sleep(0.05)
    raise AssertionError("it did not end")


def test_a1111s_list(house: RestHouse, place: Workplace, tmp_path: Path) -> None:
    source = make_extension(tmp_path, "source", {"a.txt": ""})
    first = commit(source)
    git(place.manager.places.extra, "clone", "-q", f"file://{source}", "cloned")
    canary = tmp_path / "canary"
    git(place.manager.places.extra / "cloned", "config", "core.fsmonitor", f"touch {canary}")
    place.manager.choose(["cloned"], "none")
    (found,) = house.get("/extensions").json()
    assert isinstance(found.pop("commit_date"), int)
    assert found == {
        "name": "cloned", "remote": f"file://{source}", "branch": "main", "commit_hash": first, "version": first[:8],
        "enabled": False,
    }  # fmt: skip
    assert not canary.exists()


def test_installing_and_applying(house: RestHouse, place: Workplace) -> None:
    address, _ = place.source(**{"install.py": "print('<b>hello</b>')"})
    assert house.client.post(f"{PREFIX}/install", json={"url": address}).status_code == 200
    state = done(house)
    assert state["error"] == ""
    assert "<b>hello</b>" in state["lines"]
    shown = house.client.get(PREFIX).json()
    assert [(one["name"], one["running"], one["enabled"]) for one in shown["extensions"]] == [
        ("mine", True, True), ("thing", False, True),
    ]  # fmt: skip
    house.client.post(f"{PREFIX}/apply", json={"disabled": ["mine"], "mode": "none", "update": []})
    assert done(house)["result"] == "The program starts again."
    assert place.restarts == ["again"]
    assert house.services.settings.snapshot() is not None
    assert place.manager.settings.snapshot().system.disabled_extensions == ("mine",)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/install", {"url": "ext::sh -c x"}, 422), ("/install", {"url": 5}, 422), ("/install", {}, 422),
        ("/install", {"url": "file:///x", "folder": "../x"}, 403), ("/apply", {"disabled": "mine"}, 422),
        ("/apply", {"mode": "some"}, 422), ("/update", {"name": "mine"}, 422), ("/index", {"url": "file:///etc"}, 422),
        ("/states/restore", {"file": "../config.json"}, 403), ("/switch", {"name": "nobody", "branch": "x"}, 422),
    ],
)  # fmt: skip
def test_bad_bodies(house: RestHouse, path: str, body: Any, status: int) -> None:
    assert house.client.post(PREFIX + path, json=body).status_code == status


ACTS = ("apply", "check", "install", "update", "branches", "switch", "index", "states", "states/restore", "restart")


@pytest.mark.parametrize("path", ACTS)
def test_other_machines_are_refused(house: RestHouse, tmp_path: Path, path: str) -> None:
    attach(house, workplace(tmp_path / "remote", allowed=False))
    body = {"url": "https://example.org/x", "name": "mine", "branch": "main", "file": "a.json"}
    answer = house.client.post(f"{PREFIX}/{path}", json=body)
    assert answer.status_code == 403
    assert "--enable-insecure-extension-access" in answer.json()["detail"]
    assert "--enable-insecure-extension-access" in house.client.get(PREFIX).json()["refused"]


def test_every_act_over_http_is_among_those() -> None:
    routes = [route for route in extensions_router(api=True).routes if isinstance(route, APIRoute)]
    assert {one.path.removeprefix(f"{PREFIX}/") for one in routes if "POST" in (one.methods or ())} == set(ACTS)


def test_files_for_the_page(house: RestHouse) -> None:
    answer = house.client.get(f"{PREFIX}/files/mine/style.css")
    assert (answer.status_code, answer.text) == (200, "a {}")
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("webui_extension.py", "%2e%2e/mine/style.css", "javascript/x.js"):
        assert house.client.get(f"{PREFIX}/files/mine/{path}").status_code in (403, 404)


def test_extensions_may_revise_requests(house: RestHouse) -> None:
    def revise(payload: RequestAccepted) -> RequestAccepted:
        return replace(
            payload, request=replace(payload.request, prompt=f"{payload.request.prompt} from {payload.source}")
        )

    hooks = Hooks([Handler(name="a", hook=RequestAccepted, call=revise)])
    desk = Desk(house.services.engine, house.services.settings.snapshot, hooks=hooks)
    handle = desk.accept(Generation(prompt="a cat"), Owner(source="api"))
    assert handle.job.payload == Generation(prompt="a cat from api")
    handle.wait(20)
