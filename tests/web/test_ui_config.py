"""What controls begin with (`ui-config.json`), the order of tabs and controls, and building the page anew."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.web.ui.defaults import table
from modules.web.ui.interface import Interface
from modules.web.ui.localization import Localization, list_localizations, read_localization
from modules.web.ui.names import BLOCKS, LABELS
from modules.web.ui.page import Page
from modules.web.ui.settings_form import describe
from modules.web.ui.ui_config import UiConfig
from tests.web.rest_house import ORIGIN, RestHouse, rest_house
from tests.web.ui_house import ui_context


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as built:
        yield built


def controls() -> dict[str, Any]:
    return {
        "steps": gr.Slider(1, 150, value=20, step=1, label="Sampling steps"),
        "width": gr.Slider(64, 2048, value=512, step=8, label="Width"),
        "sampler_name": gr.Dropdown(["Euler", "LMS"], value="Euler", label="Sampling method"),
        "fill": gr.Radio([("fill", 0), ("original", 1)], value=1, label="Masked content"),
        "enable_hr": gr.Checkbox(False, label="Use Hires. fix"),
        "prompt": gr.Textbox("", label="Prompt"),
        "seed": gr.Number(-1, label="Seed"),
        "override_settings": gr.Dropdown([], value=[], multiselect=True, label="Override settings"),
    }


def begun(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    """Give controls what a file says."""
    path.write_text(json.dumps(stored), encoding="utf-8")
    config, made = UiConfig(path), controls()
    config.load()
    config.apply("txt2img", made)
    config.write()
    return made


def test_stored_values_and_ranges_are_what_controls_begin_with(tmp_path: Path):
    made = begun(tmp_path / "ui-config.json", {
        "customscript/sampler.py/txt2img/Sampling steps/value": 33,
        "customscript/sampler.py/txt2img/Sampling method/value": "LMS",
        "customscript/seed.py/txt2img/Seed/value": 7,
        "txt2img/Width/maximum": 4096, "txt2img/Width/value": 3000, "txt2img/Width/step": 64,
        "txt2img/Masked content/value": "fill", "txt2img/Use Hires. fix/visible": False, "txt2img/Prompt/value": "a fox",
    })  # fmt: skip
    assert (made["steps"].value, made["sampler_name"].value, made["seed"].value) == (33, "LMS", 7)
    assert (made["width"].maximum, made["width"].value, made["width"].step) == (4096, 3000, 64)
    assert (made["fill"].value, made["prompt"].value) == (0, "a fox")
    assert made["enable_hr"].visible is False


def test_what_cannot_be_used_is_left_out(tmp_path: Path):
    made = begun(tmp_path / "ui-config.json", {
        "customscript/sampler.py/txt2img/Sampling steps/value": "many",
        "customscript/sampler.py/txt2img/Sampling steps/step": 0,
        "customscript/sampler.py/txt2img/Sampling method/value": "gone",
        "txt2img/Masked content/value": 1, "txt2img/Width/value": True, "txt2img/Width/maximum": None,
        "txt2img/Use Hires. fix/value": "yes", "txt2img/Prompt/value": 3, "txt2img/Prompt/visible": "no",
    })  # fmt: skip
    assert {name: one.value for name, one in made.items()} == {name: one.value for name, one in controls().items()}
    assert (made["width"].maximum, made["steps"].step, made["prompt"].visible) == (2048, 1, True)
    assert begun(tmp_path / "x.json", {"txt2img/Width/value": 10**9})["width"].value == 2048


def test_the_file_is_completed_and_keeps_what_we_do_not_know(tmp_path: Path):
    path = tmp_path / "ui-config.json"
    begun(path, {"extras/Resize/value": 4, "txt2img/Width/value": 640})
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert (stored["extras/Resize/value"], stored["txt2img/Width/value"]) == (4, 640)
    assert stored["customscript/sampler.py/txt2img/Sampling steps/maximum"] == 150
    assert stored["txt2img/Masked content/value"] == "original"
    assert not any("Override settings" in key for key in stored)


def test_changes_are_shown_and_become_the_beginning(tmp_path: Path):
    path = tmp_path / "ui-config.json"
    begun(path, {})
    config, made = UiConfig(path), controls()
    config.load()
    now = [21, 512, "LMS", 0, True, "", -1, ["x"]]
    changes = config.changes("txt2img", made, now)
    assert changes == {
        "customscript/sampler.py/txt2img/Sampling steps/value": (20, 21),
        "customscript/sampler.py/txt2img/Sampling method/value": ("Euler", "LMS"),
        "txt2img/Masked content/value": ("original", "fill"),
        "txt2img/Use Hires. fix/value": (False, True),
    }
    assert "Sampling steps" in table("txt2img", changes)
    config.write({key: new for key, (_, new) in changes.items()})
    assert begun(tmp_path / "again.json", json.loads(path.read_text()))["fill"].value == 0
    assert config.changes("txt2img", made, now) == {}
    assert "begins with" in table("txt2img", {})


def test_text_in_the_table_stays_text():
    assert "<img" not in table("txt2img", {"txt2img/Prompt/value": ("", "<img src=x onerror=alert(1)>")})


def test_a_broken_file_is_put_aside(tmp_path: Path):
    path = tmp_path / "ui-config.json"
    path.write_text("{", encoding="utf-8")
    config = UiConfig(path)
    config.load()
    config.apply("txt2img", controls())
    config.write()
    assert (tmp_path / "ui-config.json.bad").read_text(encoding="utf-8") == "{"
    assert "txt2img/Width/value" in json.loads(path.read_text(encoding="utf-8"))


def page_of(house: RestHouse, folder: Path) -> dict[str, Any]:
    from modules.web.ui.build import build

    return {**build(ui_context(house, folder)).get_config_file()}


def labels(config: dict[str, Any]) -> list[tuple[str, bool]]:
    tabs = {one["id"]: one["props"] for one in config["components"] if one["type"] == "tabitem"}
    outer = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "tabs")

    def children(node: dict[str, Any]) -> list[dict[str, Any]]:
        found = node.get("children") or []
        return found if node["id"] == outer else [one for child in found for one in children(child)]

    return [(tabs[one["id"]]["label"], tabs[one["id"]]["visible"]) for one in children(config["layout"])]


def test_tabs_are_ordered_and_hidden_and_settings_stay(house: RestHouse, tmp_path: Path):
    usual = [label for label, _ in labels(page_of(house, tmp_path))]
    assert set(usual) <= set(LABELS)
    house.services.settings.set({"ui_tab_order": ["Settings", "img2img"], "hidden_tabs": ["Settings", "PNG Info"]})
    found = labels(page_of(house, tmp_path))
    assert [label for label, _ in found][:2] == ["Settings", "img2img"]
    assert sorted(label for label, _ in found) == sorted(usual)
    assert [label for label, visible in found if visible is False] == ["PNG Info"]


def test_groups_of_controls_are_ordered(house: RestHouse, tmp_path: Path):
    def first(*names: str) -> list[str]:
        ids = [one["props"].get("elem_id") for one in page_of(house, tmp_path)["components"]]
        return sorted(names, key=ids.index)

    assert first("txt2img_seed", "txt2img_sampling", "txt2img_cfg_scale")[0] == "txt2img_sampling"
    house.services.settings.set({"ui_reorder_list": ["seed", "nothing", "cfg"]})
    assert first("txt2img_seed", "txt2img_sampling", "txt2img_cfg_scale") == [
        "txt2img_seed", "txt2img_cfg_scale", "txt2img_sampling",
    ]  # fmt: skip


def test_the_owners_own_defaults_are_not_overwritten_by_suggestions(house: RestHouse, tmp_path: Path):
    from modules.web.ui.build import build

    (tmp_path / "ui-config.json").write_text(json.dumps({"txt2img/Width/value": 640}), encoding="utf-8")

    functions: dict[str, Any] = {str(one.name): one.fn for one in build(ui_context(house, tmp_path)).fns.values()}
    told = json.loads(functions["tell"]()[0])
    assert told["defaults"]["txt2img"]["width"] == 640
    assert told["suggested"] == {"txt2img": {"height": 128}, "img2img": {"width": 128, "height": 128}}


def test_settings_offer_tabs_and_groups(house: RestHouse, tmp_path: Path):
    offered = {one["key"]: one["choices"] for part in describe(ui_context(house, tmp_path)) for one in part["settings"]}
    assert offered["hidden_tabs"] == list(LABELS)
    assert offered["ui_reorder_list"] == list(BLOCKS)


def test_translations_are_read_and_offered(house: RestHouse, tmp_path: Path):
    folder = tmp_path / "localizations"
    folder.mkdir()
    (folder / "xx.json").write_text(json.dumps({"Generate": "Machen", "rtl": True, "a": 3, "b": ""}), encoding="utf-8")
    (folder / "bad.json").write_text("{", encoding="utf-8")
    (folder / "list.json").write_text("[]", encoding="utf-8")
    found = list_localizations([tmp_path / "none", folder, folder])
    assert list(found) == ["bad", "list", "xx"]
    read = read_localization(found["xx"])
    assert (dict(read.texts), read.rtl) == ({"Generate": "Machen"}, True)
    for name in ("bad", "list"):
        assert read_localization(found[name]) == Localization()
    offered = {one["key"]: one["choices"] for part in describe(ui_context(house, tmp_path)) for one in part["settings"]}
    assert offered["localization"] == ["None", *house.services.localizations()]
    assert set(offered["localization"]) == {"None", *found}


def test_the_page_is_built_anew_while_the_old_one_serves(house: RestHouse, tmp_path: Path):
    import contextlib

    app, told = FastAPI(redirect_slashes=False), list[str]()
    app.state.services = house.services
    interface = Interface(app)
    app.state.interface = interface

    def build(_context: Any, _logins: Any) -> Page:
        number = sum(one.startswith("begun") for one in told) + 1

        @contextlib.asynccontextmanager
        async def life(_app: FastAPI):
            told.append(f"begun {number}")
            yield
            told.append(f"ended {number}")

        page = FastAPI(lifespan=life, openapi_url=None)
        page.get("/")(lambda: f"page {number}")
        return Page(app=page)

    with TestClient(app, base_url=ORIGIN) as client:
        assert client.post("/internal/ui/reload").status_code == 503
        loading = threading.Thread(target=interface.load, args=(ui_context(house, tmp_path), build))
        loading.start()
        loading.join(20)
        assert client.get("/").json() == "page 1"
        assert client.post("/internal/ui/reload").json() == {}
        assert client.get("/").json() == "page 2"
        assert told == ["begun 1", "begun 2", "ended 1"]
    assert told[-1] == "ended 2"
