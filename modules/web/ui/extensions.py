"""What extensions bring to the page, and the tab in which they are managed."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from modules.extending.page_files import PageFile, page_files
from modules.hooks.points import PageTab, TabsBuilding
from modules.web.rest.extensions import PREFIX
from modules.web.ui import html
from modules.web.ui.context import UiContext
from modules.web.ui.tabs.tab import Made, Tab

logger = logging.getLogger(__name__)

ID = "extensions"
PANELS = (
    ("installed", "Installed"),
    ("available", "Available"),
    ("install", "Install from URL"),
    ("backup", "Backup/Restore"),
)
"""Inner tabs: what mounts them in `assets/extensions.js`, and their labels."""


def build(_context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    with gr.Tabs(elem_id="tabs_extensions"):
        for name, label in PANELS:
            with gr.Tab(label, id=name, elem_id=f"extensions_{name}_tab"):
                mount = (
                    "import(new URL('internal/ui/assets/extensions.js', document.baseURI))"
                    f".then(m => m.mount('{name}', element))"
                )
                gr.HTML(
                    '<p class="note">Loading ...</p>', elem_id=f"extensions_{name}", js_on_load=mount,
                    apply_default_css=False,
                )  # fmt: skip
    return Made()


TAB = Tab(id=ID, label="Extensions", build=build)


def tabs_of_extensions(context: UiContext, taken: frozenset[str]) -> tuple[Tab, ...]:
    """Return the tabs that extensions bring; one that cannot be built says so in its place.

    Args:
        context: has what extensions brought.
        taken: ids of the program's own tabs; an extension's tab of such an id is left out.
    """
    manager = context.services.extensions
    if manager is None:
        return ()
    found: dict[str, Tab] = {}
    for tab in context.services.hooks.run(TabsBuilding(tabs=manager.loaded.tabs)).tabs:
        if tab.id in taken or tab.id in found:
            logger.error("the tab %s (%s) of an extension is left out: another one has its id", tab.id, tab.label)
        else:
            found[tab.id] = Tab(id=tab.id, label=tab.label, build=partial(_guarded, tab))
    return tuple(found.values())


def _guarded(tab: PageTab, _context: UiContext, _made: Mapping[str, Made]) -> Made:
    try:
        with gr.Column():
            tab.build()
    except Exception as error:
        logger.exception("the tab %s of an extension could not be built", tab.id)
        told = f"This tab could not be built: {type(error).__name__}: {error}"
        gr.HTML(html.element("p", told, class_="error"), apply_default_css=False)
    return Made()


def head_of_extensions(context: UiContext) -> Markup:
    """Return the links to the scripts and style sheets of extensions, for the head of the page."""
    manager = context.services.extensions
    files = page_files(manager.loaded) if manager is not None else []
    early = context.services.early_page_files
    if not early:
        return Markup("").join(LINKS[one.kind](address_of(one)) for one in files)
    styles = [one for one in early if one.endswith(".css")]
    scripts = [one for one in early if one not in styles]
    scripts += [address_of(one) for one in files if one.kind == "script"]
    others = [LINKS[one.kind](address_of(one)) for one in files if one.kind != "script"]
    return Markup("").join([*(LINKS["style"](one) for one in styles), in_turn(scripts), *others])


def in_turn(scripts: Sequence[str]) -> Markup:
    """Return what loads scripts one after the other; gradio adds elements of the head in a way that keeps no order."""
    listed = json.dumps(list(scripts)).replace("<", "\\u003c")
    return Markup(
        f"<script>for (const src of {listed}) document.head.append("
        "Object.assign(document.createElement('script'), { src, async: false }));</script>"
    )


def address_of(one: PageFile) -> str:
    """Return where a browser finds a file, relative to the page."""
    return f"{PREFIX.removeprefix('/')}/files/{quote(one.extension, safe='')}/{quote(one.path)}"


LINKS: Mapping[str, Callable[[str], Markup]] = {
    "style": lambda address: html.element("link", rel="stylesheet", href=address).replace("</link>", ""),
    "script": lambda address: html.element("script", src=address),
    "module": lambda address: html.element("script", src=address, type="module"),
}
"""Kind of file -> element that loads it."""
