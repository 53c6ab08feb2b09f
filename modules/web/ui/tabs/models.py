"""The checkpoints: what they are, what is in memory, and why a file cannot be used."""

from collections.abc import Mapping

import gradio as gr

from modules.web.ui.context import UiContext
from modules.web.ui.tabs.tab import Made, Tab

MOUNT = "import(new URL('internal/ui/assets/models.js', document.baseURI)).then(m => m.mount(element))"


def build(_context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    gr.HTML('<p class="note">Looking at the files ...</p>', elem_id="models", js_on_load=MOUNT, apply_default_css=False)
    return Made()


TAB = Tab(id="models", label="Models", build=build)
