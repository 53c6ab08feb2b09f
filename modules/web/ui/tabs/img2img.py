"""Pictures from pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from modules.domain.param import walk_params
from modules.domain.request import SoftSpec
from modules.web.ui.cards_tabs import beside_cards
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.tabs import generation
from modules.web.ui.tabs.generation_events import Parts, connect
from modules.web.ui.tabs.img2img_events import connect_img2img
from modules.web.ui.tabs.scripts import script_controls
from modules.web.ui.tabs.sources import MASK_ALPHA, SOURCES
from modules.web.ui.tabs.tab import Made, Tab
from modules.web.ui.values import DEPTH_MAP, ENABLE_EXTEND, ENABLE_SOFT, IMG2IMG, MASK_BLUR

MOST_BLUR = 64
DEPTH_HEIGHT = 240
IMAGE_CFG_SCALE = 1.5
"""At first, as in A1111."""


def build(context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    controls = Controls(IMG2IMG, lists_of(context.services))
    order = context.services.settings.snapshot().ui.ui_reorder_list
    actions = generation.top(controls)
    with beside_cards(context, IMG2IMG), gr.Row(elem_classes=["workspace"]):
        with gr.Column(elem_id=f"{IMG2IMG}_settings", elem_classes=["settings-column"], min_width=320):
            pictures = _pictures()
            _extend(controls)
            mask = _mask(controls)
            controls.add("resize_mode", elem_id="resize_mode")
            blocks = generation.in_order(_blocks(context, controls), order)
        with gr.Column(elem_id=f"{IMG2IMG}_results", elem_classes=["results-column"], min_width=320):
            results = generation.results(context, IMG2IMG)
    parts = {**actions, **pictures, **mask, **blocks, **results}
    connect(context, controls, parts)
    connect_img2img(context, controls, parts)
    return Made(controls=dict(controls.made), parts=parts)


def _blocks(context: UiContext, controls: Controls) -> Mapping[str, Callable[[], Parts | None]]:
    def cfg() -> None:
        with gr.Row():
            controls.add("cfg_scale")
            controls.add("denoising_strength")
        controls.add(
            "image_cfg_scale", value=IMAGE_CFG_SCALE, visible=False,
            info="How closely the result keeps to the picture.",
        )  # fmt: skip
        controls.add("noise", visible=False, info="How much noise hides the picture that the model looks at.")
        depth = gr.Image(
            label="Depth map: white is nearest; empty estimates it", type="filepath", format="png", image_mode=None,
            sources=["upload", "clipboard"], visible=False, height=DEPTH_HEIGHT, elem_id=f"{IMG2IMG}_depth_map",
        )  # fmt: skip
        controls.keep(DEPTH_MAP, depth)

    return {
        "sampler": lambda: generation.sampling(controls),
        "accordions": lambda: generation.refiner(controls),
        "dimensions": lambda: _sizes(controls),
        "cfg": cfg,
        "seed": lambda: generation.seeds(controls),
        "override_settings": lambda: generation.overrides(controls),
        "scripts": lambda: script_controls(context, controls),
        "preset": lambda: generation.preset(IMG2IMG),
    }


def _pictures() -> dict[str, Any]:
    """Build the inner tabs; the components of each are under its id."""
    found: dict[str, Any] = {}
    with gr.Tabs(elem_id=f"mode_{IMG2IMG}"):
        for source in SOURCES:
            with gr.Tab(source.label, id=source.id, elem_id=source.tab_id) as tab:
                found[f"tab_{source.id}"] = tab
                found[source.id] = source.build()
                if source.copies:
                    found[f"copy_{source.id}"] = _copy_buttons(source.id)
    for source in SOURCES:
        found[f"slip_{source.id}"] = gr.Textbox(visible="hidden", elem_id=f"{IMG2IMG}_slip_{source.id}")
        found[f"submit_{source.id}"] = gr.Button(
            source.label, visible="hidden", elem_id=f"{IMG2IMG}_submit_{source.id}"
        )
    return found


def _copy_buttons(here: str) -> dict[str, gr.Button]:
    with gr.Row(elem_id=f"{IMG2IMG}_copy_from_{here}", elem_classes=["copy-row"]):
        gr.HTML("Copy picture to:", elem_classes=["row-label"], apply_default_css=False)
        return {
            one.id: gr.Button(one.label, size="sm", min_width=60, elem_id=f"{IMG2IMG}_copy_{here}_to_{one.id}")
            for one in SOURCES
            if one.copies and one.id != here
        }


def _extend(controls: Controls) -> None:
    with generation.switched(controls, ENABLE_EXTEND, "Extend canvas", f"{IMG2IMG}_extend"):
        gr.HTML(
            "<p class='note'>Adds pixels around the picture and paints them, reaching as far into it as they overlap. "
            "Width and height below are those of the picture; a mask is not needed.</p>",
            apply_default_css=False,
        )
        for names in (("left", "right"), ("top", "bottom"), ("overlap",)):
            with gr.Row():
                for name in names:
                    controls.add(name, elem_id=f"{IMG2IMG}_extend_{name}")


def _mask(controls: Controls) -> dict[str, Any]:
    with gr.Column(visible=False, elem_id="inpaint_controls") as box:
        with gr.Row():
            blur = gr.Slider(0, MOST_BLUR, value=4, step=1, label="Mask blur", elem_id=f"{IMG2IMG}_mask_blur")
            controls.keep(MASK_BLUR, blur)
            alpha = gr.Slider(
                0, 100, value=0, step=1, label="Mask transparency", visible=False, elem_id=f"{IMG2IMG}_mask_alpha"
            )
            controls.keep(MASK_ALPHA, alpha)
        controls.add("inpainting_mask_invert")
        controls.add("inpainting_fill")
        with gr.Row():
            controls.add("inpaint_full_res")
            controls.add("inpaint_full_res_padding")
        with generation.switched(controls, ENABLE_SOFT, "Soft inpainting", "soft_inpainting_enabled"):
            names = [item.name for item in walk_params(SoftSpec)]
            for left, right in zip(names[::2], names[1::2], strict=True):
                with gr.Row():
                    controls.add(left)
                    controls.add(right)
    return {"mask_box": box, "mask_alpha": alpha}


def _sizes(controls: Controls) -> dict[str, Any]:
    with gr.Row(elem_classes=["size-row"]):
        with gr.Column(scale=4, min_width=160), gr.Tabs(elem_id=f"{IMG2IMG}_tabs_resize"):
            with gr.Tab("Resize to", elem_id=f"{IMG2IMG}_tab_resize_to") as resize_to, gr.Row():
                tools = generation.size(controls, detect=True)
            with gr.Tab("Resize by", elem_id=f"{IMG2IMG}_tab_resize_by") as resize_by:
                scale = gr.Slider(0.05, 4, value=1, step=0.05, label="Scale", elem_id=f"{IMG2IMG}_scale")
                note = gr.HTML("", elem_id=f"{IMG2IMG}_scale_resolution_preview")
        generation.batch(controls)
    return {
        **tools, "resize_to": resize_to, "resize_by": resize_by, "scale": scale, "scale_note": note,
        "by_scale": gr.State(False), "source": gr.Textbox(SOURCES[0].id, visible="hidden", elem_id=f"{IMG2IMG}_source"), "source_sizes": gr.State({}),
    }  # fmt: skip


TAB = Tab(id=IMG2IMG, label="img2img", build=build)
