"""Axes that extensions written for A1111 add to the X/Y/Z plot, over the API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from modules.imaging.infotext_parse import parse_infotext
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house
from tests.scripts.script_house import part_of

pytestmark = pytest.mark.slow
OFF = ("Nothing", "", [])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    data = tmp_path_factory.mktemp("axes")
    folder = data / "extensions"
    folder.mkdir()
    (folder / "more-axes").symlink_to(ZOO / "more-axes")
    with zoo_house(data / "data", zoo=folder) as found:
        yield found


def plot(zoo: ZooHouse, x: Any, y: Any = OFF, **body: Any) -> dict[str, Any]:
    """Run the plot; returns `info`."""
    args = [*x, *y, *OFF, True, False, False, False, False, False, False, 0, False]
    return json.loads(zoo.txt2img(script_name="x/y/z plot", script_args=args, **body)["info"])


def told(info: dict[str, Any], key: str) -> list[Any]:
    return [parse_infotext(text).get(key) for text in info["infotexts"][1:]]


def test_axes_lie_behind_the_program_s_own(zoo: ZooHouse) -> None:
    listed = zoo.client.get("/sdapi/v1/script-info").json()
    plots = [one for one in listed if one["name"] == "x/y/z plot"]
    text, picture = ([*one["args"][0]["choices"]] for one in plots)
    assert text[42:] == ["[More] Word", "[More] Steps", "[More] RNG", "[More] Clip", "[More] Fails", "[More] Lines"]
    assert picture[41:45] == ["[More] Word", "[More] Steps", "[More] RNG", "[More] Strength"]


def test_the_list_of_a1111_has_all_axes_of_the_program(zoo: ZooHouse) -> None:
    import sys

    native = [axis.label for axis in part_of("xyz_plot", "axes").AXES]
    assert set(native) == set(sys.modules["xyz_grid.py"].own_labels)


def test_attributes_of_p_reach_the_hooks_of_each_run(zoo: ZooHouse) -> None:
    info = plot(zoo, ("[More] Word", "", ["small", "tall"]), ("[More] Steps", "1-2", []))
    assert told(info, "More words") == ["small of 2", "tall of 2"] * 2
    assert told(info, "Steps") == ["1", "1", "2", "2"]
    assert "a red circle, tall of 2" in info["all_prompts"]
    assert 'X Type: [More] Word, X Values: "small,tall", Y Type: [More] Steps, Y Values: 1-2' in info["infotexts"][0]


def test_settings_vary_by_overrides_and_by_assignment(zoo: ZooHouse) -> None:
    info = plot(zoo, ("[More] RNG", "CPU,NV", []), (45, "1,2", []))
    assert told(info, "RNG") == ["CPU", "NV"] * 2
    assert told(info, "Clip skip") == ["1", "1", "2", "2"]


def test_own_and_added_axes_go_together(zoo: ZooHouse) -> None:
    info = plot(zoo, ("Seed", "5,6", []), ("[More] Lines", "a, b/c", []))
    assert told(info, "More words") == ["a, b of 2"] * 2 + ["c of 2"] * 2
    assert info["all_seeds"] == [5, 6] * 2
    assert info["infotexts"][1] == plot(zoo, ("[More] Lines", "a, b/c", []))["infotexts"][1]


def test_what_an_extension_refuses_is_told(zoo: ZooHouse) -> None:
    for axis, reason in (
        (("[More] Word", "small,forbidden", []), "Unknown word: forbidden, while making 3 steps"),
        (("[More] Steps", "x", []), "no whole number"),
        (("[More] Fails", "a", []), "this axis never works"),
    ):
        body = {"prompt": "a", "steps": 3, "width": 64, "height": 64, "sampler_name": "Euler"}
        args = [*axis, *OFF, *OFF]
        answer = zoo.client.post("/sdapi/v1/txt2img", json={**body, "script_name": "x/y/z plot", "script_args": args})
        assert answer.status_code in (400, 422)
        assert reason in answer.text
