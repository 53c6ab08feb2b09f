"""What every tab of the page is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.engine.job import Owner
from modules.web.rest.wire import USER_KEY
from modules.web.ui.context import UiContext


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What a tab leaves for those that are built after it."""

    controls: Mapping[str, Component] = field(default_factory=lambda: MappingProxyType({}))
    """By the flat name of their value."""
    parts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Other components, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One tab: what it is called and how its content is built."""

    id: str
    label: str
    build: Callable[[UiContext, Mapping[str, Made]], Made]
    """Called inside gradio's tab, with what the tabs before it made."""


QUIET: Mapping[str, Any] = MappingProxyType({"queue": False, "show_progress": "hidden", "api_visibility": "private"})
"""For events that answer at once."""


def tool(symbol: str, elem_id: str) -> gr.Button:
    """Make a small button with a symbol; its tooltip is in `assets/hints.js`."""
    return gr.Button(symbol, elem_id=elem_id, elem_classes=["tool"], size="sm", min_width=0, scale=0)


def page_owner(request: gr.Request) -> Owner:
    """Describe who uses the page: the login of the server, else the one of the page, else only an address."""
    inner = request.request
    if inner is None:
        return Owner(source="ui")
    address = inner.client.host if inner.client is not None else ""
    return Owner(source="ui", client=address, user=inner.scope.get(USER_KEY) or request.username)
