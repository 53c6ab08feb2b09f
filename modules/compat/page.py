"""A1111's callbacks around the page: tabs, routes, pasted texts."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from modules.compat.callback_params import BeforeTokenCounterParams, UiTrainTabParams
from modules.compat.callbacks import guarded
from modules.compat.host import host
from modules.compat.old_gradio import serving_old_idioms
from modules.hooks.points import (
    AppStarted,
    AppStopping,
    BeforeTokenCount,
    InfotextPasted,
    PageBuilding,
    PageReloading,
    PageTab,
    TabsBuilding,
)

logger = logging.getLogger(__name__)


def app_started(payload: AppStarted) -> None:
    """Let extensions add routes; without a page they get ready for one all the same, as many register things there."""
    if not host().page_begun:
        page_building(PageBuilding())
    bound, page = host(), payload.page
    bound.page, before = page, len(page.fns) if page is not None else 0
    with serving_old_idioms():
        bound.callbacks.call("app_started", page, payload.app)
    if page is not None and len(page.fns) != before:
        page.config = page.get_config_file()  # with what extensions connected now


def script_unloaded(_payload: AppStopping) -> None:
    """Let extensions take back what they replaced."""
    host().callbacks.call("script_unloaded")


def page_reloading(_payload: PageReloading) -> None:
    """Let extensions get ready for another page."""
    host().callbacks.call("before_reload")


def before_token_count(payload: BeforeTokenCount) -> BeforeTokenCount:
    """Let extensions change what is counted."""
    params = BeforeTokenCounterParams(payload.prompt, payload.steps, list(payload.styles), is_positive=payload.positive)
    host().callbacks.call("before_token_counter", params)
    steps, styles = int(params.steps), tuple(str(one) for one in params.styles)
    return replace(payload, prompt=str(params.prompt), steps=steps, styles=styles, positive=bool(params.is_positive))


def infotext_pasted(payload: InfotextPasted) -> InfotextPasted:
    """Let extensions change the entries of a pasted text."""
    entries = dict(payload.entries)
    host().callbacks.call("infotext_pasted", payload.text, entries)
    return replace(payload, entries=entries)


def page_building(_payload: PageBuilding) -> None:
    """Let extensions get ready for the page; what they registered for an earlier one goes."""
    if host().page_begun:
        host().card_pages.clear()
    host().bindings.clear()
    host().paste_fields.clear()
    with _apart(), serving_old_idioms():
        host().callbacks.call("before_ui")
    host().page_begun = True


def tabs_building(payload: TabsBuilding) -> TabsBuilding:
    """Ask extensions for their tabs. Each is built apart from the page and put into it."""
    bound, made = host(), list(payload.tabs)
    with _apart(), serving_old_idioms():
        for one in bound.callbacks.ordered("ui_tabs"):
            with guarded(f"{one.extension}: ui_tabs"):
                made += [
                    PageTab(id=str(tab_id), label=str(title), build=_render(blocks))
                    for blocks, title, tab_id in one.call() or ()
                ]
    if bound.callbacks.has("ui_train_tabs"):
        made.append(PageTab(id="train", label="Train", build=_train_tab))
    bound.tabs[:] = [one.id for one in made]
    return TabsBuilding(tabs=tuple(made))


PREVIEWED = ("prompt", "neg_prompt", "steps", "sampling", "cfg_scale", "seed", "width", "height")
"""Controls of the tab txt2img that trainers make pictures with, by the ends of their ids."""


def _train_tab() -> None:
    """Build the tab that extensions put their trainers into."""
    import gradio as gr

    with serving_old_idioms(), gr.Tabs(elem_id="train_tabs"):
        host().callbacks.call("ui_train_tabs", UiTrainTabParams(_previewed()))


def _previewed() -> list[Any]:
    """Return the controls that say how a picture is made; a component without effect for each that is not there."""
    import gradio as gr
    from gradio.context import Context

    blocks: dict[int, Any] = Context.root_block.blocks if Context.root_block is not None else {}
    known = {getattr(one, "elem_id", None): one for one in blocks.values()}
    return [known.get(f"txt2img_{name}") or gr.State(None) for name in PREVIEWED]


def _render(blocks: Any) -> Callable[[], None]:
    return lambda: blocks.render()


@contextmanager
def _apart() -> Iterator[None]:
    """Leave the block that is being built, so that others are not put into it."""
    from gradio.context import Context

    before = Context.root_block, Context.block
    Context.root_block = Context.block = None
    try:
        yield
    finally:
        Context.root_block, Context.block = before
