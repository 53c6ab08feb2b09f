"""The inner tabs of txt2img and img2img: what makes pictures, then a page of cards for each kind of model."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from modules.web.ui.cards import tab_titles
from modules.web.ui.context import UiContext

MOUNT = (
    "import(new URL('internal/ui/assets/cards.js', document.baseURI)).then(m => m.mount(element, '{tab}', '{page}'))"
)


@contextmanager
def beside_cards(context: UiContext, tab: str) -> Iterator[None]:
    """Build the inner tabs around what is built inside of this; cards are fetched when their tab is opened."""
    order = context.services.settings.snapshot().extra_networks.ui_extra_networks_tab_reorder
    with gr.Tabs(elem_id=f"{tab}_extra_tabs", elem_classes=["extra-networks"]):
        with gr.Tab("Generation", id=f"{tab}_generation", elem_id=f"{tab}_generation"):
            yield
        titles = {page.kind.id: page.kind.title for page in context.services.cards.all}
        for page, title in tab_titles(order, titles).items():
            with gr.Tab(title, id=f"{tab}_{page}", elem_id=f"{tab}_{page}"):
                gr.HTML(
                    '<p class="note">Looking at the files ...</p>', elem_id=f"{tab}_{page}_cards_html",
                    js_on_load=MOUNT.replace("{tab}", tab).replace("{page}", page), apply_default_css=False,
                )  # fmt: skip
