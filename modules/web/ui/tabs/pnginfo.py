"""What a picture says about how it was made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from modules.domain.errors import WebuiError
from modules.imaging.read_info import PictureInfo, read_picture_info
from modules.web.rest.pictures import image_limits, printable
from modules.web.ui import html
from modules.web.ui.context import UiContext
from modules.web.ui.results import error_line
from modules.web.ui.tabs.generation_events import Pasting, connect_paste
from modules.web.ui.tabs.tab import QUIET, Made, Tab

MAX_SHOWN = 20_000
"""Characters of one text chunk that are shown."""


def build(context: UiContext, made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    with gr.Row(elem_classes=["workspace"]):
        with gr.Column(min_width=320):
            image = gr.Image(
                label="Source", type="filepath", image_mode=None, sources=["upload", "clipboard"],
                elem_id="pnginfo_image", height=480, buttons=[],
            )  # fmt: skip
        with gr.Column(min_width=320):
            shown = gr.HTML(_empty(), elem_id="html_pnginfo", elem_classes=["pnginfo"])
            text = gr.Textbox(visible="hidden", elem_id="pnginfo_generation_info")
            with gr.Row(elem_id="pnginfo_send_buttons"):
                send = gr.Button("Send to txt2img", elem_id="txt2img_tab", interactive=False)

    def read(path: str | None) -> tuple[str, str, Any]:
        """Show the texts of a picture."""
        if path is None:
            return _empty(), "", gr.update(interactive=False)
        try:
            limits = image_limits(context.services.settings.snapshot())
            found = read_picture_info(Path(path).read_bytes(), limits)
        except WebuiError as error:
            return error_line(type(error).__name__, str(error)), "", gr.update(interactive=False)
        return describe(found), found.infotext or "", gr.update(interactive=bool(found.infotext))

    image.change(read, [image], [shown, text, send], **QUIET)
    target = made["txt2img"]
    pasting = Pasting("txt2img", target.controls, target.parts["log"])
    connect_paste(context, send.click, text, pasting, switch=True)
    return Made(parts={"image": image, "text": text})


def describe(found: PictureInfo) -> Markup:
    """Show every text of a picture; the parameters come first, even when there are none."""
    items = {"parameters": found.infotext or "None", **{key: printable(value) for key, value in found.items.items()}}
    return Markup("").join(
        html.element(
            "div", html.element("h4", key), html.element("p", str(value)[:MAX_SHOWN], class_="chunk"), class_="infoitem"
        )
        for key, value in items.items()
    )


def _empty() -> Markup:
    return html.element("p", "Drop a picture to see the parameters it was made with.", class_="note")


TAB = Tab(id="pnginfo", label="PNG Info", build=build)
