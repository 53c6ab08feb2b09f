"""The page with extensions for A1111: their controls, tabs and scripts."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI

from modules.compat.page import app_started
from modules.engine.job import Owner
from modules.extending.scripts import parameters
from modules.hooks.points import AppStarted
from modules.imaging.folders import OutputFolders
from modules.prompting.style_book import StyleBook
from modules.web.ui.build import build
from modules.web.ui.context import UiContext
from modules.web.ui.pasting import paste
from modules.web.ui.presets import PresetBook
from modules.web.ui.saving import Keeper
from modules.web.ui.tabs.scripts import script_of
from modules.web.ui.tokens import TokenCounter
from modules.web.ui.values import generation_of
from tests.compat.zoo_house import ZooHouse, zoo_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ZooHouse, gr.Blocks]]:
    folder = tmp_path_factory.mktemp("page")
    with zoo_house(folder) as zoo:
        context = UiContext(
            services=zoo.services, counter=TokenCounter(), temp=folder / "temp", uploads=folder / "uploads",
            style_book=StyleBook([folder / "styles.csv"]), presets=PresetBook(folder / "presets.json"),
            ui_config=folder / "ui-config.json", keeper=Keeper(OutputFolders(data=folder)),
        )  # fmt: skip
        yield zoo, build(context)


def elements(page: gr.Blocks) -> dict[str, Any]:
    return {str(block.elem_id): block for block in page.blocks.values() if getattr(block, "elem_id", None)}


def dependencies(page: gr.Blocks) -> list[Any]:
    """Return the events of a page."""
    return [*page.config.get("dependencies", ())]


def test_controls_of_scripts_are_in_both_tabs(house: tuple[ZooHouse, gr.Blocks]):
    found = elements(house[1])
    assert {"script_txt2img_tell_mood_mood", "script_img2img_tell_mood_mood", "script_seed_walk_count"} <= set(found)
    assert found["script_txt2img_tell_mood_mood"].value == "calm"


def test_what_fails_while_the_page_is_built_is_noted_beside_its_extension(house: tuple[ZooHouse, gr.Blocks]):
    noted = house[0].loaded.faults
    assert "always-broken: ui_tabs failed: ZeroDivisionError: always broken" in noted["always-broken"]
    assert len(set(noted["always-broken"])) == len(noted["always-broken"])
    assert noted.keys() <= {"always-broken", "import-fails"}


def test_tabs_of_extensions_and_their_old_idioms(house: tuple[ZooHouse, gr.Blocks]):
    found = elements(house[1])
    assert {"tab_side_panel", "panel_text", "panel_go", "panel_more", "panel_refresh", "panel_models"} <= set(found)
    assert found["panel_models"].value is None
    targets = [fn for fn in house[1].fns.values() if any(found["panel_go"]._id == target[0] for target in fn.targets)]
    assert [fn.js for fn in targets] == ["(a, b) => [a, b]"]
    assert house[0].host.css == [".panel { color: red }"]
    assert not any(path.suffix == ".pyi" for path in Path(__file__).parent.rglob("*"))


def test_values_of_the_page_reach_the_request(house: tuple[ZooHouse, gr.Blocks]):
    zoo, _ = house
    values = {"script/a1111/tell mood/0": True, "script/a1111/tell mood/1": "wild", "script/a1111/tell mood/2": 2.0}
    request = generation_of("txt2img", values, zoo.services, None)
    assert request.scripts["a1111"] == {"tell mood": [True, "wild", 2.0]}
    handle = zoo.services.desk.accept(replace(request, prompt="x"), Owner(source="ui"))
    outcome = handle.wait(30)
    assert "Mood: wild" in outcome.images[0].infotext


def test_the_drop_down_offers_scripts(house: tuple[ZooHouse, gr.Blocks]):
    zoo, _ = house
    before = [None for one in zoo.scripts.selectable("txt2img") for _ in parameters(one.Params)]
    call = script_of("txt2img", ["seed walk", *before, 3, "x"], zoo.scripts)
    assert call is not None
    assert (call.name, call.args) == ("Seed walk", (3, "x"))
    assert script_of("txt2img", ["None", 3, "x"], zoo.scripts) is None


def test_pasted_texts_fill_controls_of_scripts(house: tuple[ZooHouse, gr.Blocks]):
    text = (
        "a\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, Mood: wild, Mood strength: 0.5, Template: raw"
    )
    found = paste("txt2img", text, house[0].services)
    assert found.values["script/a1111/tell mood/0"] is True
    assert found.values["script/a1111/tell mood/1"] == "wild"
    assert found.values["script/a1111/tell mood/2"] == 0.5
    assert found.values["prompt"] == "raw"


def test_scripts_see_all_controls_of_their_tab_and_tabs_those_of_scripts(house: tuple[ZooHouse, gr.Blocks]):
    zoo, page = house
    found = elements(page)
    place, tags, send = (found[name] for name in ("tag_row_place", "tag_row_tags", "tag_row_send"))
    assert tags.parent.parent is place or tags.parent is place
    around = found["txt2img_prompt_container"].children
    assert around.index(place) == around.index(found["txt2img_prompt_row"]) + 1
    script = zoo.host.scripts.txt2img.script("tag row")
    assert (script.prompt, script.steps) == (found["txt2img_prompt"], found["txt2img_steps"])
    sent = [fn.outputs for fn in page.fns.values() if any(send._id == target[0] for target in fn.targets)]
    assert sent == [[tags]]


def test_tabs_of_extensions_come_before_the_last_ones(house: tuple[ZooHouse, gr.Blocks]):
    strip = elements(house[1])["tabs"]
    names = [tab.id for tab in strip.children]
    assert names[:2] == ["txt2img", "img2img"]
    assert names[-2:] == ["settings", "extensions"]
    assert "tag_row" in names[2:-2]
    assert strip.selected == "txt2img"


def test_extensions_may_connect_controls_once_the_program_answers(house: tuple[ZooHouse, gr.Blocks]):
    zoo, page = house
    button, known = elements(page)["panel_go"], len(dependencies(page))

    def connect(demo: gr.Blocks, app: FastAPI) -> None:
        assert [one["id"] for one in dependencies(demo)]
        with demo:
            button.click(lambda: None, [], [])

    zoo.host.callbacks.add("app_started", connect)
    try:
        app_started(AppStarted(app=zoo.app, page=page))
    finally:
        zoo.host.callbacks.remove(lambda one: one.call is connect)
    assert import_module("modules.shared").demo is page
    assert len(dependencies(page)) == known + 1
