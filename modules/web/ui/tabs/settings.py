"""All settings on one page, as a form that the browser builds when the tab is first opened."""

from collections.abc import Mapping

import gradio as gr

from modules.web.ui.context import UiContext
from modules.web.ui.tabs.tab import Made, Tab

MOUNT = "import(new URL('internal/ui/assets/settings.js', document.baseURI)).then(m => m.mount(element))"


def build(_context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    gr.HTML(
        '<p class="note">Loading the settings ...</p>', elem_id="settings", js_on_load=MOUNT, apply_default_css=False
    )
    return Made()


TAB = Tab(id="settings", label="Settings", build=build)
