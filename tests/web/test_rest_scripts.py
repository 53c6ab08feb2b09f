"""Scripts of extensions over the API and in the page's own reader."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.extending.scripts import Scripts
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import InfotextPasted
from modules.web.server import attach_services
from modules.web.services import Services
from modules.web.ui.build import build
from modules.web.ui.pasting import paste
from modules.web.ui.tabs.scripts import script_of
from modules.web.ui.values import generation_of
from tests.extending.brightness import Lighten, Repeat
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path, "--api") as found:
        found.services = replace(found.services, scripts=Scripts([Lighten()], [Repeat()]))
        attach_services(found.app, found.services)
        yield found


def test_scripts_are_listed_with_their_arguments(house: RestHouse) -> None:
    listed = house.get("/scripts").json()
    assert {"lighten it", "repeat it"} < set(listed["txt2img"])
    assert "lighten it" in listed["img2img"]
    assert "repeat it" not in listed["img2img"]
    infos = house.get("/script-info").json()
    (light,) = (one for one in infos if one["name"] == "lighten it" and not one["is_img2img"])
    assert light["is_alwayson"]
    assert [(one["label"], one["value"]) for one in light["args"]] == [
        ("Enable", False), ("Amount", 10), ("Mode", "all"), ("Places", []),
    ]  # fmt: skip
    assert (light["args"][1]["minimum"], light["args"][1]["maximum"], light["args"][1]["step"]) == (0, 100, 1)
    assert light["args"][2]["choices"] == ["all", "red"]


def test_a_request_carries_what_it_asks_for(house: RestHouse) -> None:
    answer = house.txt2img(
        alwayson_scripts={"Lighten it": {"args": [True, 30]}}, script_name="Repeat it", script_args=[3]
    )
    assert answer.status_code == 200
    asked = house.runner.seen[-1]
    assert asked.scripts == {"lighten": {"enabled": True, "amount": 30, "mode": "all", "places": []}}
    assert asked.script is not None
    assert (asked.script.name, asked.script.args) == ("Repeat it", (3,))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"alwayson_scripts": {"Lighten it": {"args": [True, 999]}}}, "Lighten it: amount"),
        ({"alwayson_scripts": {"Lighten it": {"args": 5}}}, "must be a list"),
        ({"alwayson_scripts": {"Darken it": {"args": []}}}, "Script 'Darken it' not found"),
        ({"script_name": "Repeat it", "script_args": [99]}, "Repeat it: times"),
        ({"script_name": "Lighten it"}, "Script 'Lighten it' not found"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_queued(house: RestHouse, body: dict[str, Any], told: str) -> None:
    answer = house.txt2img(**body)
    assert answer.status_code == 422
    assert told in answer.text
    assert house.runner.seen == []


def values(**more: Any) -> dict[str, Any]:
    return {"prompt": "a", "sampler_name": "Euler", "scheduler": "Karras", "seed": 1, **more}


def test_controls_of_the_page(house: RestHouse, tmp_path: Path) -> None:
    config = build(ui_context(house, tmp_path)).get_config_file()
    found: dict[Any, Any] = {one["props"].get("elem_id"): one for one in config["components"]}
    assert {"script_txt2img_lighten", "script_img2img_lighten", "script_repeat"} <= found.keys()
    amount = found["script_txt2img_lighten_amount"]
    assert (amount["type"], amount["props"]["maximum"], amount["props"]["value"]) == ("slider", 100, 10)
    sent = {"script/lighten/enabled": True, "script/lighten/amount": 50, "script/lighten/mode": "red"}
    made = generation_of("txt2img", values(**sent), house.services, None)
    assert made.scripts == {"lighten": {"enabled": True, "amount": 50, "mode": "red", "places": []}}
    off = generation_of("txt2img", values(**{**sent, "script/lighten/enabled": False}), house.services, None)
    assert off.scripts == {}
    call = script_of("txt2img", ["repeat it", 4], house.services.scripts)
    assert call is not None
    assert (call.name, call.args) == ("Repeat it", (4,))


def paste_into(services: Services, text: str) -> dict[str, Any]:
    found = paste("txt2img", text, services).values
    assert found.get("script/", "None") == "None"
    return {name: value for name, value in found.items() if name.startswith("script/") and name != "script/"}


def test_a_pasted_text_switches_scripts(house: RestHouse) -> None:
    text = "a\nSteps: 20, Sampler: Euler, Seed: 1, Lighten amount: 40, Lighten mode: red"
    assert paste_into(house.services, text) == {
        "script/lighten/enabled": True, "script/lighten/amount": 40, "script/lighten/mode": "red",
    }  # fmt: skip
    assert paste_into(house.services, "a\nSteps: 20, Sampler: Euler, Seed: 1") == {"script/lighten/enabled": False}
    assert paste_into(house.services, "just a prompt") == {}


def test_extensions_may_change_what_is_pasted(house: RestHouse) -> None:
    def steps(payload: InfotextPasted) -> InfotextPasted:
        return replace(payload, entries={**payload.entries, "Steps": "7"})

    services = replace(house.services, hooks=Hooks([Handler(name="a", hook=InfotextPasted, call=steps)]))
    assert paste("txt2img", "a\nSteps: 20, Sampler: Euler, Seed: 1", services).values["steps"] == 7
