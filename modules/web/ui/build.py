"""The page: what is at its top, its tabs, what is below."""

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import themes
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Mount

from modules.cli import Login
from modules.domain.errors import WebuiError
from modules.settings.snapshot import declarations
from modules.web.rest.errors import render
from modules.web.ui import html, settings_form
from modules.web.ui.choices import checkpoint_lists, checkpoint_named
from modules.web.ui.context import UiContext
from modules.web.ui.controls import setting_control
from modules.web.ui.page import Page
from modules.web.ui.routes import PREFIX
from modules.web.ui.tabs import img2img, pnginfo, queue, settings, txt2img
from modules.web.ui.tabs.send_to import connect_galleries
from modules.web.ui.tabs.tab import QUIET, Made, Tab, tool

TITLE = "Stable Diffusion"
TABS: tuple[Tab, ...] = (txt2img.TAB, img2img.TAB, pnginfo.TAB, queue.TAB, settings.TAB)
"""In the order in which they are shown."""
MAX_QUICK = 20
"""Settings offered at the top of the page."""
MAX_UPLOAD = "64mb"


def application(context: UiContext, logins: Sequence[Login] = ()) -> Page:
    """Make the application that serves the page.

    Args:
        context: what the page works with.
        logins: who may use it; everyone when empty.
    """
    app = FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        app, build(context), path="/", footer_links=[], run_history=False, show_error=True, max_file_size=MAX_UPLOAD,
        ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False, theme=theme(), head=head(context.theme),
        allowed_paths=[], favicon_path=None, auth=list(logins) or None,
    )  # fmt: skip
    inner: Any = next(route.app for route in app.routes if isinstance(route, Mount))
    for kind, handler in ((KeyError, _unknown_event), (FnIndexInferError, _unknown_event), (Exception, _fault)):
        inner.add_exception_handler(kind, handler)

    def identify(request: HTTPConnection) -> str | None:
        """Return whose cookie a request carries; gradio gives one at login, safe or not as the connection is."""
        names = (f"access-token-{inner.cookie_id}", f"access-token-unsecure-{inner.cookie_id}")
        token = next((request.cookies[name] for name in names if name in request.cookies), None)
        return inner.tokens.get(token)

    return Page(app=app, identify=identify)


async def _unknown_event(_request: HTTPConnection, _error: Exception) -> Response:
    """Answer to an event that the page does not have; gradio only looks it up in a dictionary."""
    return render(HTTPException(404, "Unknown event"))


async def _fault(_request: HTTPConnection, error: Exception) -> Response:
    """Answer to an error that nobody foresaw, without its traceback."""
    return render(error)


def build(context: UiContext) -> gr.Blocks:
    """Build the page."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        refresh, quick = _quick_settings(context)
        made: dict[str, Made] = {}
        with gr.Tabs(elem_id="tabs"):
            for tab in TABS:
                with gr.Tab(tab.label, id=tab.id, elem_id=f"tab_{tab.id}"):
                    made[tab.id] = tab.build(context, made)
        gr.HTML(footer(context), elem_id="footer")
        connect_galleries(context, made)
        refresh(page.load)
        _refresh_lists(context, page, made)
        for tab in (txt2img.TAB.id, img2img.TAB.id):
            _native_size(context, page, quick.get("sd_model_checkpoint"), made[tab].controls)
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def _quick_settings(context: UiContext) -> tuple[Callable[[Any], None], Mapping[str, Any]]:
    """Put the settings of `quicksettings_list` at the top; each is saved when it is changed.

    Returns:
        A function that registers, with an event such as `button.click`, that they show what holds now; and the
        controls by key.
    """
    snapshot = context.services.settings.snapshot()
    keys = [key for key in snapshot.ui.quicksettings_list if key in declarations()][:MAX_QUICK]
    made: dict[str, Any] = {}
    with gr.Row(elem_id="quicksettings", elem_classes=["quicksettings"]):
        for key in keys:
            made[key] = setting_control(declarations()[key], current(key, context), context.services)
            if key == "sd_model_checkpoint":
                _refresh_button(context, made[key])
        reload = gr.Button("Reload quick settings", visible="hidden", elem_id="quicksettings_reload")
    for key, control in made.items():
        changed = control.release if isinstance(control, gr.Slider) else control.input
        change = partial(_set, context, key)
        changed(change, [control], None, preprocess=False, show_progress="hidden", api_visibility="private")

    def shown() -> list[Any] | Any:
        updates = [_update(key, context) for key in made]
        return updates if len(updates) != 1 else updates[0]

    def refresh(event: Any) -> None:
        if made:
            event(shown, None, list(made.values()), **QUIET)

    refresh(reload.click)
    return refresh, made


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


def _native_size(context: UiContext, page: gr.Blocks, selector: Any, controls: Mapping[str, Any]) -> None:
    """Offer pictures of the size that the checkpoint was trained on, until somebody chooses another size."""
    sizes, offered = [controls["width"], controls["height"]], gr.State(None)

    def load() -> tuple[int, int, int]:
        """Offer the size of the checkpoint in use."""
        size = context.services.native_size(str(current("sd_model_checkpoint", context) or ""))
        return size, size, size

    def change(title: str | None, width: float, height: float, before: int | None) -> tuple[Any, ...]:
        """Offer the size of another checkpoint where that of the last one still stands."""
        size = context.services.native_size(title or "")
        return (size if width == height == before else gr.skip(),) * 2 + (size,)

    page.load(load, None, [*sizes, offered], **QUIET)
    if selector is not None:
        selector.change(change, [selector, *sizes, offered], [*sizes, offered], **QUIET)


def _refresh_button(context: UiContext, selector: Any) -> None:
    def look_again() -> Any:
        """Look for checkpoints on disk."""
        context.services.refresh_checkpoints()
        return _update("sd_model_checkpoint", context)

    tool("⟳", "refresh_sd_model_checkpoint").click(look_again, None, [selector], **QUIET)


def _set(context: UiContext, key: str, value: Any) -> None:
    """Change one setting from the top of the page."""
    try:
        refused: Mapping[str, str] = settings_form.save({key: value}, context)["refused"]
    except WebuiError as error:
        refused = {key: str(error)}
    for reason in refused.values():
        gr.Warning(html.text(reason), title="Not saved")


def _update(key: str, context: UiContext) -> Any:
    choices = settings_form.choices_of(declarations()[key], context.services)
    value = current(key, context)
    return gr.update(value=value) if choices is None else gr.update(value=value, choices=choices)


def current(key: str, context: UiContext) -> Any:
    """Return the value of a setting as its control shows it; a checkpoint by its title."""
    value = context.services.settings.snapshot().flat()[key]
    if key != "sd_model_checkpoint":
        return value
    checkpoints = context.services.checkpoints()
    found = checkpoint_named(value, checkpoints) if value else next(iter(checkpoints), None)
    return found.title if found is not None else value


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
