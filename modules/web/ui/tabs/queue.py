"""Who waits for what: the queue and what came out of it lately."""

from collections.abc import Mapping

import gradio as gr

from modules.web.ui.context import UiContext
from modules.web.ui.tabs.tab import Made, Tab

MOUNT = "import(new URL('internal/ui/assets/queue.js', document.baseURI)).then(m => m.mount(element))"


def build(_context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    gr.HTML('<p class="note">Loading the queue ...</p>', elem_id="queue", js_on_load=MOUNT, apply_default_css=False)
    return Made()


TAB = Tab(id="queue", label="Queue", build=build)
