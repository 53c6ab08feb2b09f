"""How the page joins a server that already runs, and the routes that its scripts call."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import Response

from modules.domain.errors import OutOfMemory
from modules.domain.request import Generation, Size
from modules.engine.job import Owner
from modules.web.ui.interface import Interface
from modules.web.ui.page import Page
from modules.web.ui.results import show
from tests.web.rest_house import ORIGIN, RestHouse, rest_house
from tests.web.ui_house import ui_context


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as built:
        yield built


def little_page(started: list[str]) -> Page:
    """Stand in for gradio's application: one page, and a life of its own."""
    import contextlib

    @contextlib.asynccontextmanager
    async def life(_app: FastAPI):
        started.append("begun")
        yield
        started.append("ended")

    app = FastAPI(lifespan=life, openapi_url=None)
    app.get("/")(lambda: "the page")
    return Page(app=app, identify=lambda request: request.cookies.get("who"))


def outer(house: RestHouse) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    app.state.services = house.services
    app.post("/internal/thing")(lambda: "done")
    return app


def test_page_joins_a_running_server(house: RestHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    app, told = outer(house), list[str]()
    interface = Interface(app)
    with TestClient(app, base_url=ORIGIN) as client:
        waiting = client.get("/")
        assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "1")
        assert "Starting" in waiting.text
        assert 'http-equiv="refresh"' in waiting.text
        loading = threading.Thread(
            target=interface.load, args=(ui_context(house, tmp_path), lambda *_: little_page(told))
        )
        loading.start()
        loading.join(10)
        assert client.get("/").json() == "the page"
        assert told == ["begun"]
    assert told == ["begun", "ended"]


def test_server_ends_before_the_page_was_there(house: RestHouse):
    app = outer(house)
    Interface(app)
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.get("/").status_code == 503


def test_a_page_that_cannot_be_built_leaves_the_rest_alone(
    house: RestHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def broken(_context: object, _logins: object) -> Page:
        raise RuntimeError("no gradio here")

    app = outer(house)
    interface = Interface(app)
    with TestClient(app, base_url=ORIGIN) as client:
        interface.load(ui_context(house, tmp_path), broken)
        assert "could not be built" in client.get("/").text
        assert client.post("/internal/thing").json() == "done"
    assert "no gradio here" in caplog.text


def test_page_does_not_answer_for_known_routes(house: RestHouse):
    app = outer(house)
    Interface(app)
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.get("/internal/thing").status_code == 405
        assert client.get("/elsewhere").status_code == 404


@pytest.fixture
def page(house: RestHouse, tmp_path: Path) -> Iterator[TestClient]:
    app = outer(house)
    Interface(app)
    app.state.ui_context = ui_context(house, tmp_path)
    from modules.web.rest.wire import Body

    app.add_middleware(Body, max_bytes=lambda: 1 << 20)
    with TestClient(app, base_url=ORIGIN) as client:
        yield client


def test_tokens_are_counted_with_styles(page: TestClient):
    asked = {"prompt": "a red fox", "negative_prompt": "", "styles": ["ink", "unknown"], "steps": 20}
    counts = page.post("/internal/ui/tokens", json=asked).json()
    assert counts == {
        "prompt": {"used": 6, "limit": 75},  # three words, a comma, and the style's two
        "negative_prompt": {"used": 1, "limit": 75},
    }
    long = page.post("/internal/ui/tokens", json={"prompt": "word " * 80}).json()
    assert long["prompt"] == {"used": 80, "limit": 150}


@pytest.mark.parametrize("text", ["AND " * 100, "x" * 60_000])
def test_counter_says_why_a_prompt_cannot_be_used(page: TestClient, text: str):
    counts = page.post("/internal/ui/tokens", json={"prompt": text, "negative_prompt": "night"}).json()
    assert counts["prompt"].keys() == {"problem"}
    assert counts["negative_prompt"]["used"] == 1


@pytest.mark.parametrize("body", [{"prompt": 5}, {"styles": "ink"}, []])
def test_counter_refuses_what_it_cannot_count(page: TestClient, body: object):
    assert page.post("/internal/ui/tokens", json=body).status_code == 422


def test_settings_are_described_and_saved(page: TestClient, house: RestHouse):
    sections = page.get("/internal/ui/settings").json()["sections"]
    found = {one["key"]: one for section in sections for one in section["settings"]}
    assert found.keys() == set(house.services.settings.snapshot().keys())
    assert (found["samples_save"]["kind"], found["samples_format"]["kind"]) == ("switch", "choice")
    assert (found["jpeg_quality"]["kind"], found["jpeg_quality"]["slider"]) == ("int", True)
    assert (found["hide_samplers"]["kind"], found["grid_background_color"]["kind"]) == ("list", "colour")
    assert found["sd_model_checkpoint"]["choices"] == ["toy [0123456789]"]
    answer = page.post("/internal/ui/settings", json={"values": {"jpeg_quality": 91, "samples_save": False}}).json()
    assert answer == {"changed": ["jpeg_quality", "samples_save"], "refused": {}}
    assert house.services.settings.snapshot().saving.jpeg_quality == 91


def test_one_refused_setting_does_not_hold_back_the_others(page: TestClient, house: RestHouse):
    values = {"jpeg_quality": 1000, "webp_lossless": True, "nonsense": 1, "sd_model_checkpoint": "not there"}
    answer = page.post("/internal/ui/settings", json={"values": values}).json()
    assert answer["changed"] == ["webp_lossless"]
    assert answer["refused"].keys() == {"jpeg_quality", "nonsense", "sd_model_checkpoint"}
    assert "100" in answer["refused"]["jpeg_quality"]
    assert house.services.settings.snapshot().saving.webp_lossless is True


def test_a_remote_page_cannot_choose_folders(house: RestHouse, tmp_path: Path):
    from modules.web.ui.settings_form import describe, save

    context = ui_context(house, tmp_path, remote=True)
    answer = save({"outdir_samples": "/tmp", "jpeg_quality": 12}, context)
    assert answer["changed"] == ["jpeg_quality"]
    assert "machine itself" in answer["refused"]["outdir_samples"]
    locked = {one["key"] for section in describe(context) for one in section["settings"] if one["locked"]}
    assert "outdir_samples" in locked
    assert "jpeg_quality" not in locked


def test_settings_about_places_can_be_hidden(house: RestHouse, tmp_path: Path):
    from modules.settings.store import PLACE_KEYS
    from modules.web.ui.settings_form import describe

    context = replace(ui_context(house, tmp_path), hidden=PLACE_KEYS)
    shown = {one["key"] for section in describe(context) for one in section["settings"]}
    assert set(house.services.settings.snapshot().keys()) - shown == PLACE_KEYS
    assert {"outdir_samples", "samples_filename_pattern"} <= PLACE_KEYS


def test_routes_wait_for_the_interface(house: RestHouse):
    app = outer(house)
    Interface(app)
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.get("/internal/ui/settings").status_code == 503


def test_scripts_and_the_owners_style_sheet_are_served(page: TestClient, tmp_path: Path):
    script = page.get("/internal/ui/assets/main.js")
    assert script.status_code == 200
    assert "javascript" in script.headers["content-type"]
    assert page.get("/internal/ui/user.css").text == ""
    (tmp_path / "user.css").write_text("body { color: red }", encoding="utf-8")
    assert page.get("/internal/ui/user.css").text == "body { color: red }"


@pytest.mark.parametrize("path", ["..%2fbuild.py", "%2e%2e/build.py", "..\\build.py", "/etc/passwd", "none.js"])
def test_only_assets_are_served_as_assets(page: TestClient, path: str):
    assert page.get(f"/internal/ui/assets/{path}").status_code == 404


def test_logins_of_the_page_hold_for_its_routes(house: RestHouse, tmp_path: Path):
    app = outer(house)
    interface = Interface(app, logins=[("ann", "secret"), ("bob", "other")])
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.post("/internal/thing").status_code == 401
        interface.load(ui_context(house, tmp_path), lambda *_: little_page([]))
        for path in ("/internal/thing", "/internal/ui/settings", "/sdapi/v1/txt2img", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 401, path
        assert client.get("/").status_code == 200
        assert client.get("/internal/ui/assets/main.js").status_code == 200
        assert client.post("/internal/thing", auth=("ann", "secret")).status_code == 200
        assert client.post("/internal/thing", auth=("ann", "other")).status_code == 401
        client.cookies.set("who", "bob")
        assert client.post("/internal/thing").status_code == 200


def test_guessing_logins_is_slowed_down(house: RestHouse):
    app = outer(house)
    Interface(app, logins=[("ann", "secret")])
    app.post("/login")(lambda: Response(status_code=400))
    with TestClient(app, base_url=ORIGIN) as client:
        assert [client.post("/login").status_code for _ in range(11)] == [400] * 10 + [429]
        assert client.post("/internal/thing", auth=("ann", "secret")).status_code == 429


def test_pictures_of_a_job_have_names_and_are_kept_by_the_browser(page: TestClient, house: RestHouse):
    handle = house.services.desk.accept(Generation(prompt="a fox", size=Size(width=64, height=64)), Owner(source="ui"))
    handle.wait(20)
    shown = show(handle, house.services.settings.snapshot(), f"{ORIGIN}/?x=1")
    assert [text.split("\n")[0] for text in shown.infotexts] == ["a fox"]
    assert "Time taken" in shown.log
    answer = page.get(shown.addresses[0])
    assert answer.content == handle.images()[0].data
    assert shown.addresses[0].endswith("/picture-0.png")
    assert "immutable" in answer.headers["cache-control"]
    assert page.get(f"{ORIGIN}/internal/ui/pictures/{handle.id}/7/x.png").status_code == 404


def test_what_happened_on_the_way_is_told(house: RestHouse):
    def tell(step: int) -> None:
        house.runner.contexts[-1].note("slower because of <b>")

    house.runner.before_step = tell
    handle = house.services.desk.accept(Generation(size=Size(width=64, height=64)), Owner(source="ui"))
    handle.wait(20)
    assert show(handle, house.services.settings.snapshot(), ORIGIN).log.count("slower because of &lt;b&gt;") == 1


def test_a_failed_job_says_why(house: RestHouse):
    def fail(step: int) -> None:
        raise OutOfMemory("no room for <it>")

    house.runner.before_step = fail
    handle = house.services.desk.accept(Generation(size=Size(width=64, height=64)), Owner(source="ui"))
    with pytest.raises(OutOfMemory):
        handle.wait(20)
    shown = show(handle, house.services.settings.snapshot(), ORIGIN)
    assert shown.addresses == ()
    assert "OutOfMemory" in shown.log
    assert "&lt;it&gt;" in shown.log


def test_styles_are_saved_applied_and_deleted(page: TestClient, tmp_path: Path):
    style = {"name": "<ink>", "prompt": "{prompt}, in ink\x00", "negative_prompt": "colour"}
    saved = page.post("/internal/ui/styles", json=style).json()
    assert saved == page.get("/internal/ui/styles").json() == {"styles": [{**style, "prompt": "{prompt}, in ink"}]}
    texts = {"prompt": "a fox", "negative_prompt": "", "style_prompt": "{prompt}!", "style_negative_prompt": "blur"}
    applied = page.post("/internal/ui/styles/apply", json=texts).json()
    assert applied == {"prompt": "a fox!", "negative_prompt": "blur"}
    assert page.post("/internal/ui/styles/delete", json={"name": "<ink>"}).json() == {"styles": []}
    assert (tmp_path / "styles.csv.bak").is_file()


@pytest.mark.parametrize(
    ("route", "body"),
    [("", {"name": ""}), ("", {"name": 3}), ("/delete", {"name": "none"}), ("/apply", {"prompt": []})],
)
def test_styles_that_cannot_be_are_refused(page: TestClient, route: str, body: object):
    answer = page.post(f"/internal/ui/styles{route}", json=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]
