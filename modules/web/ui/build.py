"""The page: what is at its top, its tabs, what is below."""

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import themes
from gradio.route_utils import FnIndexInferError
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Mount

from modules.cli import Login
from modules.domain.errors import StorageFault
from modules.hooks.points import PageBuilding, PageBuilt
from modules.web.rest.errors import render
from modules.web.ui import extensions, html
from modules.web.ui.choices import checkpoint_lists
from modules.web.ui.context import UiContext
from modules.web.ui.defaults import defaults_panel
from modules.web.ui.following import connect_following
from modules.web.ui.loops import make_no_loops
from modules.web.ui.page import Page
from modules.web.ui.quick import quick_settings
from modules.web.ui.routes import PREFIX
from modules.web.ui.tabs import extras, img2img, modelmerger, models, pnginfo, queue, settings, txt2img
from modules.web.ui.tabs.send_to import connect_galleries, sender
from modules.web.ui.tabs.tab import QUIET, Made, Tab
from modules.web.ui.ui_config import UiConfig

logger = logging.getLogger(__name__)

TITLE = "Stable Diffusion"
TABS: tuple[Tab, ...] = (txt2img.TAB, img2img.TAB, extras.TAB, pnginfo.TAB, modelmerger.TAB, models.TAB, queue.TAB)
"""In the order in which they are shown, those of extensions after them."""
LAST_TABS = (settings.TAB, extensions.TAB)
BY_OWNER = (txt2img.TAB.id, img2img.TAB.id)
"""Tabs whose controls begin with what `ui-config.json` says."""
MAX_UPLOAD = "64mb"


def application(context: UiContext, logins: Sequence[Login] = ()) -> Page:
    """Make the application that serves the page.

    Args:
        context: what the page works with.
        logins: who may use it; everyone when empty.
    """
    app, blocks = FastAPI(openapi_url=None), build(context)
    gr.mount_gradio_app(
        app, blocks, path="/", footer_links=[], run_history=False, show_error=True, max_file_size=MAX_UPLOAD,
        ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False, theme=theme(),
        head=f"{head(context.theme)}{extensions.head_of_extensions(context)}",
        allowed_paths=[], favicon_path=None, auth=list(logins) or None,
    )  # fmt: skip
    inner: Any = next(route.app for route in app.routes if isinstance(route, Mount))
    for kind, handler in (
        (KeyError, _unknown_event), (FnIndexInferError, _unknown_event), (FormParserError, _bad_form), (Exception, _fault),
    ):  # fmt: skip
        inner.add_exception_handler(kind, handler)

    def identify(request: HTTPConnection) -> str | None:
        """Return whose cookie a request carries; gradio gives one at login, safe or not as the connection is."""
        names = (f"access-token-{inner.cookie_id}", f"access-token-unsecure-{inner.cookie_id}")
        token = next((request.cookies[name] for name in names if name in request.cookies), None)
        return inner.tokens.get(token)

    return Page(app=app, identify=identify, blocks=blocks)


async def _unknown_event(_request: HTTPConnection, _error: Exception) -> Response:
    """Answer to an event that the page does not have; gradio only looks it up in a dictionary."""
    return render(HTTPException(404, "Unknown event"))


async def _bad_form(_request: HTTPConnection, error: Exception) -> Response:
    """Answer to an upload whose form cannot be taken apart."""
    return render(HTTPException(400, f"the form cannot be read: {error}"))


async def _fault(_request: HTTPConnection, error: Exception) -> Response:
    """Answer to an error that nobody foresaw, without its traceback."""
    return render(error)


def build(context: UiContext) -> gr.Blocks:
    """Build the page; nobody else builds controls meanwhile."""
    make_no_loops()
    with context.services.scripts.building:
        return _build(context)


def _build(context: UiContext) -> gr.Blocks:
    context.services.hooks.run(PageBuilding())
    ui = context.services.settings.snapshot().ui
    own = frozenset(tab.id for tab in (*TABS, *LAST_TABS))
    defaults = UiConfig(context.ui_config)
    defaults.load()
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        quick = quick_settings(context)
        made: dict[str, Made] = {}
        frames: dict[str, gr.Tab] = {}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as strip:
            # Built in the order in which tabs know each other, which need not be that on the page.
            for tab in TABS:
                frames[tab.id] = _frame(tab, context, made)
                if tab.id in BY_OWNER:
                    defaults.apply(tab.id, made[tab.id].controls)
            more = extensions.tabs_of_extensions(context, own)
            for tab in (*more, *LAST_TABS):
                first = partial(defaults_panel, defaults, {one: made[one] for one in BY_OWNER})
                frames[tab.id] = _frame(tab, context, made, first if tab.id == settings.TAB.id else None)
        _arrange(strip, frames, in_order((*TABS, *more, *LAST_TABS), ui.ui_tab_order, ui.hidden_tabs))
        _write_missing(defaults)
        gr.HTML(footer(context), elem_id="footer")
        connect_galleries(context, made)
        quick.refresh(page.load)
        _refresh_lists(context, page, made)
        modelmerger.connect_lists(context, page.load, made[modelmerger.TAB.id])
        connect_following(context, page, quick, {tab: made[tab] for tab in (txt2img.TAB.id, img2img.TAB.id)})
        controls = {tab: made[tab].controls for tab in BY_OWNER}
        context.services.hooks.run(PageBuilt(controls=controls, send=sender(context, made)))
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def _frame(tab: Tab, context: UiContext, made: dict[str, Made], first: Callable[[], None] | None = None) -> gr.Tab:
    """Build a tab with its frame; what it leaves for others is put among what the others left."""
    with gr.Tab(tab.label, id=tab.id, elem_id=f"tab_{tab.id}") as frame, context.services.scripts.watching(tab.id):
        if first is not None:
            first()
        made[tab.id] = tab.build(context, made)
    return frame


def _arrange(strip: gr.Tabs, frames: Mapping[str, gr.Tab], order: Sequence[tuple[Tab, bool]]) -> None:
    """Put the frames of tabs into the owner's order, and open the first that is seen."""
    for tab, visible in order:
        frames[tab.id].visible = visible
    strip.children[:] = [frames[tab.id] for tab, _ in order]
    strip.selected = next(tab.id for tab, visible in order if visible)


def in_order(tabs: Sequence[Tab], first: Sequence[str], hidden: Sequence[str]) -> list[tuple[Tab, bool]]:
    """Return tabs in the owner's order, and whether each is seen; Settings always is.

    Args:
        tabs: in their usual order.
        first: labels of those that come first.
        hidden: labels of those that are not seen.
    """
    place = {label: number for number, label in enumerate(first)}
    ordered = sorted(tabs, key=lambda tab: place.get(tab.label, len(place)))
    return [(tab, tab.label not in hidden or tab.id == settings.TAB.id) for tab in ordered]


def _write_missing(defaults: UiConfig) -> None:
    try:
        defaults.write()
    except StorageFault as error:
        logger.warning("%s", error)


def _refresh_lists(context: UiContext, page: gr.Blocks, made: Mapping[str, Made]) -> None:
    """Offer the styles and checkpoints of this moment when the page is loaded, and the styles when they change."""
    tabs = [made[tab].controls for tab in (txt2img.TAB.id, img2img.TAB.id)]
    styles = [controls["styles"] for controls in tabs]
    selectors = [
        (name, controls[name]) for controls in tabs for name in checkpoint_lists(context.services) if name in controls
    ]
    reload = gr.Button("Reload styles", visible="hidden", elem_id="styles_reload")

    def offer_styles() -> list[Any]:
        names = [style.name for style in context.services.styles()]
        return [gr.update(choices=names) for _ in styles]

    def offer_checkpoints() -> list[Any]:
        lists = checkpoint_lists(context.services)
        return [gr.update(choices=lists[name]) for name, _ in selectors]

    reload.click(offer_styles, None, styles, **QUIET)
    page.load(offer_styles, None, styles, **QUIET)
    page.load(offer_checkpoints, None, [control for _, control in selectors], **QUIET)


def footer(context: UiContext) -> str:
    """Return the line below everything: links and versions."""
    links = [html.link("API", "./docs")] if context.api else []
    links += [html.link("Gradio", "https://gradio.app")]
    versions = [f"version: {context.services.version}", f"python: {platform.python_version()}"]
    versions += [f"{name}: {found}" for name in ("torch", "gradio") if (found := _version(name))]
    spaced = [part for link in links for part in (" • ", link)][1:]
    return html.element("div", *spaced, class_="links") + html.element("div", " • ".join(versions), class_="versions")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def theme() -> themes.Base:
    """Return the colours and sizes of the page; all fonts are those of the machine that shows it."""
    sans, mono = ["system-ui", "Segoe UI", "Roboto", "sans-serif"], ["ui-monospace", "Consolas", "monospace"]
    return themes.Default(
        primary_hue="orange", neutral_hue="gray", radius_size="sm", spacing_size="sm", text_size="md", font=sans,
        font_mono=mono,
    )  # fmt: skip


def head(wanted: str | None) -> str:
    """Return what belongs in the page's head: our style sheets and scripts, and the colours asked for at start."""
    scheme = (
        f'<script>{{const page = new URL(location); if (!page.searchParams.has("__theme")) {{'
        f'page.searchParams.set("__theme", "{wanted}"); history.replaceState(null, "", page); }}}}</script>'
        if wanted in ("light", "dark")
        else ""
    )
    assets = PREFIX.removeprefix("/") + "/assets"
    return (
        f'{scheme}<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{assets}/style.css">'
        f'<link rel="stylesheet" href="{PREFIX.removeprefix("/")}/user.css">'
        f'<script type="module" src="{assets}/main.js"></script>'
    )
