"""A1111's callbacks around the page: tabs, routes, pasted texts."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import host
from modules.compat.old_gradio import serving_old_idioms
from modules.hooks.points import AppStarted, AppStopping, InfotextPasted, PageTab, TabsBuilding

logger = logging.getLogger(__name__)


def app_started(payload: AppStarted) -> None:
    """Let extensions add routes."""
    with serving_old_idioms():
        host().callbacks.call("app_started", None, payload.app)


def script_unloaded(_payload: AppStopping) -> None:
    """Let extensions take back what they replaced."""
    host().callbacks.call("script_unloaded")


def infotext_pasted(payload: InfotextPasted) -> InfotextPasted:
    """Let extensions change the entries of a pasted text."""
    entries = dict(payload.entries)
    host().callbacks.call("infotext_pasted", payload.text, entries)
    return replace(payload, entries=entries)


def tabs_building(payload: TabsBuilding) -> TabsBuilding:
    """Ask extensions for their tabs. Each is built apart from the page and put into it."""
    bound, made = host(), list(payload.tabs)
    host().bindings.clear()
    with _apart(), serving_old_idioms():
        bound.callbacks.call("before_ui")
        for one in bound.callbacks.ordered("ui_tabs"):
            with guarded(f"{one.extension}: ui_tabs"):
                made += [
                    PageTab(id=str(tab_id), label=str(title), build=_render(blocks))
                    for blocks, title, tab_id in one.call() or ()
                ]
    bound.tabs[:] = [one.id for one in made]
    return TabsBuilding(tabs=tuple(made))


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
