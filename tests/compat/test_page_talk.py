"""Callbacks around the page: they are called, at the right moment, and what they change counts."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from modules.imaging.folders import OutputFolders
from modules.prompting.style_book import StyleBook
from modules.web.ui.build import build
from modules.web.ui.context import UiContext
from modules.web.ui.presets import PresetBook
from modules.web.ui.routes import reload, tokens
from modules.web.ui.saving import Keeper
from modules.web.ui.tokens import TokenCounter
from tests.compat.zoo_house import ZOO, zoo_house
from tests.web.ui_house import WordTokenizer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiContext]:
    folder, only = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("only")
    (only / "page-talk").symlink_to(ZOO / "page-talk")
    with zoo_house(folder, zoo=only) as zoo:
        assert not zoo.loaded.faults
        yield UiContext(
            services=zoo.services, counter=TokenCounter(WordTokenizer), temp=folder / "temp",
            uploads=folder / "uploads", style_book=StyleBook([folder / "styles.csv"]),
            presets=PresetBook(folder / "presets.json"), ui_config=folder / "ui-config.json",
            keeper=Keeper(OutputFolders(data=folder)),
        )  # fmt: skip


@pytest.fixture(scope="module")
def page(context: UiContext) -> gr.Blocks:
    return build(context)


def heard() -> list[Any]:
    return sys.modules["page_talk.py"].HEARD


def test_counted_prompts_can_be_changed(context: UiContext):
    heard().clear()
    body = {"prompt": "a red circle # not this", "negative_prompt": "grey", "styles": ["x"], "steps": 7}
    assert tokens(context, body) == {"prompt": {"used": 3, "limit": 75}, "negative_prompt": {"used": 1, "limit": 75}}
    assert heard() == [("a red circle # not this", 7, ["x"], True), ("grey", 7, ["x"], False)]


def test_trainers_get_a_tab_of_their_own(page: gr.Blocks):
    found = {str(block.elem_id): block for block in page.blocks.values() if getattr(block, "elem_id", None)}
    assert {"tab_train", "train_tabs", "page_talk_words"} <= set(found)
    assert any(isinstance(one, gr.Tab) and one.label == "Page talk" for one in page.blocks.values())
    assert heard()[-1] == [
        f"txt2img_{name}"
        for name in ("prompt", "neg_prompt", "steps", "sampling", "cfg_scale", "seed", "width", "height")
    ]


def test_a_page_that_is_built_anew_is_announced(context: UiContext):
    built: list[bool] = []

    def rebuild() -> None:
        built.append(heard()[-1] == "reload")

    state = SimpleNamespace(interface=SimpleNamespace(rebuild=rebuild))
    reload(cast("Any", SimpleNamespace(app=SimpleNamespace(state=state))), context)
    assert built == [True]
