"""Buttons of extensions that send pictures and parameters: what they change, and where."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.compat.send_buttons import as_file, text_of
from modules.imaging.folders import OutputFolders
from modules.prompting.style_book import StyleBook
from modules.web.ui.build import build
from modules.web.ui.context import UiContext
from modules.web.ui.loops import make_no_loops
from modules.web.ui.presets import PresetBook
from modules.web.ui.saving import Keeper
from modules.web.ui.tokens import TokenCounter
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow

TEXT = "a tree\nNegative prompt: fog\nSteps: 7, Sampler: Euler, CFG scale: 3, Seed: 11, Size: 64x64"
REQUEST = SimpleNamespace(request=None, username=None)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ZooHouse, gr.Blocks]]:
    folder, only = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("only")
    (only / "send-off").symlink_to(ZOO / "send-off")
    make_no_loops()
    with zoo_house(folder, zoo=only) as zoo:
        assert not zoo.loaded.faults
        context = UiContext(
            services=zoo.services, counter=TokenCounter(), temp=folder / "temp", uploads=folder / "uploads",
            style_book=StyleBook([folder / "styles.csv"]), presets=PresetBook(folder / "presets.json"),
            ui_config=folder / "ui-config.json", keeper=Keeper(OutputFolders(data=folder)),
        )  # fmt: skip
        yield zoo, build(context)


def pressed(page: gr.Blocks, elem_id: str, *values: Any) -> dict[str, Any]:
    """Run the handler of a button; returns what changes, by element."""
    button = next(one for one in page.blocks.values() if getattr(one, "elem_id", None) == elem_id)
    handler = next(fn for fn in page.fns.values() if (button._id, "click") in fn.targets and fn.fn is not None)
    run: Any = handler.fn
    found = run(*values)
    return dict(zip([str(one.elem_id) for one in handler.outputs], found, strict=True))


def test_no_part_of_the_page_is_there_twice(house: tuple[ZooHouse, gr.Blocks]):
    def ids(block: Any) -> Iterator[int]:
        yield block._id
        for child in getattr(block, "children", ()):
            yield from ids(child)

    found = [one for child in house[1].children for one in ids(child)]
    assert len(found) == len(set(found))


def test_a_text_fills_the_controls(house: tuple[ZooHouse, gr.Blocks]):
    found = pressed(house[1], "send_off_text", REQUEST, TEXT)
    assert (found["txt2img_prompt"]["value"], found["txt2img_steps"]["value"]) == ("a tree", 7)
    assert found["txt2img_seed"]["value"] == 11


def test_a_picture_goes_with_its_text(house: tuple[ZooHouse, gr.Blocks], tmp_path: Path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    found = pressed(house[1], "img2img_tab", REQUEST, str(tmp_path / "red.png"), TEXT, {})
    assert found["img2img_prompt"]["value"] == "a tree"
    with Image.open(found["img2img_image"]) as sent:
        assert sent.getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_alone_leaves_the_controls(house: tuple[ZooHouse, gr.Blocks]):
    found = pressed(house[1], "send_off_picture", REQUEST, np.full((8, 8, 3), 9, np.uint8), {})
    assert "value" not in found["img2img_prompt"]
    with Image.open(found["img2img_image"]) as sent:
        assert sent.size == (8, 8)


def test_a_tab_gives_its_own_parameters_with_a_picture(house: tuple[ZooHouse, gr.Blocks], tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    shown = [(str(tmp_path / "one.png"), None)]
    controls = ["a fox", "rain", 9, "Euler", "Automatic", 5.0, 123]
    found = pressed(house[1], "send_off_gallery", REQUEST, shown, 0, *controls, {})
    assert (found["img2img_prompt"]["value"], found["img2img_neg_prompt"]["value"]) == ("a fox", "rain")
    assert (found["img2img_steps"]["value"], found["img2img_seed"]["value"]) == (9, 123)
    assert "value" not in found["img2img_cfg_scale"]


def test_tabs_of_extensions_are_sent_to(house: tuple[ZooHouse, gr.Blocks]):
    found = pressed(house[1], "send_off_own", np.zeros((8, 8, 3), np.uint8), TEXT)
    assert found["send_off_shown"].size == (8, 8)
    assert (found["send_off_steps"]["value"], found["send_off_words"]["value"]) == (7, "A TREE")


def test_extensions_find_the_controls_of_both_tabs(house: tuple[ZooHouse, gr.Blocks]):
    fields = house[0].host.paste_fields
    assert {"txt2img", "img2img", "send_off"} <= set(fields)
    named = {label: component.elem_id for component, label in fields["txt2img"]["fields"]}
    assert (named["Prompt"], named["Steps"]) == ("txt2img_prompt", "txt2img_steps")


def test_a_panel_has_buttons_that_work(house: tuple[ZooHouse, gr.Blocks], tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    found = pressed(house[1], "own_send_to_inpaint", REQUEST, [(str(tmp_path / "one.png"), None)], 0, {})
    assert found["img2maskimg"]
    saved = pressed(house[1], "save_zip_own", '{"infotexts": ["words"]}', [(str(tmp_path / "one.png"), None)], -1)
    archive, kept = saved["download_files_own"]["value"]
    assert Path(archive).suffix == ".zip"
    with Image.open(kept) as picture:
        assert picture.info["parameters"] == "words"
    assert "Saved: " in saved["html_log_own"]


def test_pictures_become_files_with_what_they_say(tmp_path: Path):
    told = PngInfo()
    told.add_text("parameters", TEXT)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=told)
    data = (tmp_path / "a.png").read_bytes()
    assert as_file(str(tmp_path / "a.png")) == data
    with Image.open(tmp_path / "a.png") as picture:
        assert Image.open(io.BytesIO(as_file(picture) or b"")).info["parameters"] == TEXT
    assert as_file({"image": Image.new("RGB", (2, 2)), "mask": None}) is not None
    assert as_file(None) is None
    assert text_of({}) == ""
