"""Values of controls of scripts: from the page into a request, and from there to the script."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from modules.compat.control_values import HELD_KEY, MOST_HELD, by_place, read_all, to_plain, to_value
from modules.compat.old_gradio import serving_old_idioms
from modules.domain.errors import InvalidRequest
from modules.web.ui.loops import make_no_loops
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow


class Unit:
    """An object of an extension's own."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    only = tmp_path_factory.mktemp("only")
    (only / "page-probe").symlink_to(ZOO / "page-probe")
    make_no_loops()
    with zoo_house(tmp_path_factory.mktemp("data"), zoo=only) as found:
        yield found


def through_a_request(value: Any) -> Any:
    return to_value(json.loads(json.dumps(to_plain(value))))


def test_values_come_back_as_they_were(zoo: ZooHouse):
    del zoo
    picture, unit = Image.new("RGB", (5, 4), "red"), Unit()
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert through_a_request({"a": [1, 2.5, None, True, "x"]}) == {"a": [1, 2.5, None, True, "x"]}
    assert through_a_request(picture).tobytes() == picture.tobytes()
    both = through_a_request({"image": array, "mask": array[..., 0]})
    assert np.array_equal(both["image"], array)
    assert np.array_equal(both["mask"], array[..., 0])
    assert through_a_request(unit) is unit
    assert through_a_request(np.ones((2, 2))) == [[1.0, 1.0], [1.0, 1.0]]


def test_objects_are_held_for_a_while_only(zoo: ZooHouse):
    first = to_plain(Unit())
    assert set(first) == {HELD_KEY}
    for _ in range(MOST_HELD):
        to_plain(Unit())
    assert to_value(first) is None
    assert len(zoo.host.held) == MOST_HELD


def test_controls_read_what_the_page_sends(zoo: ZooHouse):
    del zoo
    with gr.Blocks(), serving_old_idioms():
        controls = [
            gr.Checkbox(), gr.Radio(["a", "b"], type="index"), gr.Dropdown(["a"], type="index"), gr.Slider(0, 5, step=1),
            gr.State(Unit()), gr.Textbox(label="Words"),
        ]  # fmt: skip
    script: Any = SimpleNamespace(controls=controls)
    state = Unit()
    found = read_all(script, {0: True, 1: "b", 3: 99, 4: state})
    assert [found[0], found[1], found[2], found[3], found[5]] == [True, 1, None, 99, None]
    assert to_value(found[4]) is state
    with gr.Blocks():
        script.controls = [gr.Radio(["a"], label="Strict")]
    with pytest.raises(InvalidRequest, match="Strict"):
        read_all(script, {0: "z"})


def test_places_are_found_by_title():
    sent = {"my script/0": 1, "my script/11": 2, "my script/x": 3, "other/0": 4}
    assert by_place(sent, "my script") == {0: 1, 11: 2}
    assert by_place(sent, "nobody") is None


def test_empty_controls_keep_their_places(zoo: ZooHouse):
    found = zoo.scripts.chosen("txt2img", {"a1111": {"page probe/0": True, "page probe/2": {"count": 3}}})
    assert found["a1111"] == {"page probe": [True, None, {"count": 3}]}
    answer = zoo.txt2img(alwayson_scripts={"page probe": {"args": [True]}})
    assert "Probe: nothing dict" in json.loads(answer["info"])["infotexts"][0]
