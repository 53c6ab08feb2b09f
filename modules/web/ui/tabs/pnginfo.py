"""What a picture says about how it was made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.extras import KIND as EXTRAS
from modules.imaging.read_info import PictureInfo, read_picture_info
from modules.web.rest.pictures import printable
from modules.web.ui import html
from modules.web.ui.context import UiContext
from modules.web.ui.results import error_line
from modules.web.ui.tabs.img2img_events import limits_of
from modules.web.ui.tabs.send_to import (
    NOTHING,
    TARGETS,
    Pack,
    Parcel,
    Target,
    connect_sending,
    connect_to_extras,
    send_buttons,
)
from modules.web.ui.tabs.tab import QUIET, Made, Tab
from modules.web.ui.values import IMG2IMG

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
            with gr.Row(elem_id="pnginfo_send_buttons", elem_classes=["send-row"]):
                sends = send_buttons([*TARGETS, EXTRAS], "{}_tab")
            log = gr.HTML("", elem_id="html_log_pnginfo", elem_classes=["html-log"])
    parts = {
        "image": image, "text": text, "send_log": log,
        "sent": gr.Textbox(visible="hidden", elem_id="pnginfo_sent"),
    }  # fmt: skip

    def read(path: str | None) -> tuple[Any, ...]:
        """Show the texts of a picture."""
        if path is None:
            return _empty(), "", ""
        try:
            found = read_picture_info(Path(path).read_bytes(), limits_of(context))
        except WebuiError as error:
            return "", "", error_line(type(error).__name__, str(error))
        return describe(found), found.infotext or "", ""

    image.change(read, [image], [shown, text, log], **QUIET)
    here = Made(parts=parts)
    for name, target in TARGETS.items():
        connect_sending(context, sends[name], [image, text], _packer(target), target, made, here)
    connect_to_extras(context, sends[EXTRAS], [image, text], _packer(TARGETS[IMG2IMG]), made, here)
    return here


def _packer(target: Target) -> Pack:
    def pack(_request: gr.Request, path: str | None, text: str) -> Parcel:
        """Take the picture and all of its text."""
        if path is None:
            raise InvalidRequest(NOTHING)
        if target.source is None and not text.strip():
            raise InvalidRequest("this picture does not say how it was made")
        return Parcel(text=text, picture=Path(path).read_bytes())

    return pack


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
