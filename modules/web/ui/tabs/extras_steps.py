"""The controls of the steps of Extras: an accordion for each, in the order in which they run."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import gradio as gr

from modules.domain.extras import KIND
from modules.extending.script import ENABLED
from modules.extending.scripts import parameters
from modules.pipeline.extras.builtin import BY_FACTOR, TO_SIZE, Upscale, UpscaleParams
from modules.pipeline.extras.step import Named, Step
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls, parameter_control
from modules.web.ui.tabs.switched import switched
from modules.web.ui.tabs.tab import tool

logger = logging.getLogger(__name__)

PREFIXES: Mapping[str, str] = MappingProxyType({
    "upscale": KIND, "split-oversized": "postprocess", "focal-crop": "postprocess", "auto-sized-crop": "postprocess",
    "flipped-copies": "postprocess",
})  # fmt: skip
"""Begin the element ids of steps that A1111 has too."""


def build_steps(context: UiContext, controls: Controls) -> dict[str, Any]:
    """Build all steps; one whose controls cannot be built is left out. Returns the parts of Upscale."""
    parts: dict[str, Any] = {}
    steps = context.services.steps
    with gr.Column(elem_id=f"{KIND}_steps", elem_classes=["scripts"]):
        for step in steps.of_extras(context.services.settings.snapshot()):
            try:
                parts |= _step(context, controls, step)
            except Exception:
                logger.exception("the controls of the step %s could not be built", step.label)
    return parts


def value_name(step: Named, name: str) -> str:
    """Name the control of a value of a step."""
    return f"{step.id}/{name}"


def _step(context: UiContext, controls: Controls, step: Any) -> dict[str, Any]:
    if isinstance(step, Upscale):
        return _upscale(context, controls, step)
    with gr.Column(elem_id=f"{KIND}_step_{step.id}"):
        own = context.services.steps.build(step)
        if own is None:
            _declared(context, controls, step)
            return {}
        for name, control in own.items():
            controls.keep(value_name(step, name), control)
    return {}


def _declared(context: UiContext, controls: Controls, step: Step) -> None:
    """Build a step from its parameters."""
    items = parameters(step.Params)
    element = f"{KIND}_{step.id}"
    if ENABLED in items:
        switch = value_name(step, ENABLED)
        around: Any = switched(controls, switch, step.label, element, on=items[ENABLED].default is True)
    else:
        around = gr.Accordion(step.label, open=False, elem_id=element)
    lists, prefix = lists_of(context.services), PREFIXES.get(step.id, element)
    with around:
        for name, item in items.items():
            if name != ENABLED:
                control = parameter_control(item, prefix, lists, info=item.param.help or None)
                controls.keep(value_name(step, name), control)


def _upscale(context: UiContext, controls: Controls, step: Upscale) -> dict[str, Any]:
    """Build what enlarges: by a factor or to a size, with one upscaler or two."""
    items, lists = parameters(UpscaleParams), lists_of(context.services)

    def add(name: str, **more: Any) -> Any:
        return controls.keep(value_name(step, name), parameter_control(items[name], KIND, lists, **more))

    with switched(controls, value_name(step, ENABLED), step.label, f"{KIND}_upscale", on=True):
        with gr.Tabs(elem_id=f"{KIND}_resize_mode"):
            with gr.Tab("Scale by", id=BY_FACTOR, elem_id=f"{KIND}_scale_by_tab") as by_factor, gr.Row():
                factor = add("upscale_by", scale=4)
                add("max_side_length", scale=2, min_width=160, info="Pixels; 0 for any")
            with gr.Tab("Scale to", id=TO_SIZE, elem_id=f"{KIND}_scale_to_tab") as to_size:
                with gr.Row(elem_classes=["size-row"]):
                    with gr.Column(scale=4, min_width=160):
                        sides = [add("upscale_to_width"), add("upscale_to_height")]
                    with gr.Column(scale=0, min_width=44, elem_classes=["dimensions-tools"]):
                        swap = tool("⇅", f"{KIND}_upscaling_res_switch_btn")
                add("upscale_crop")
        with gr.Row():
            first = add("upscaler_1_name")
            add("upscaler_2_name")
            add("upscaler_2_visibility")
    mode = gr.Number(BY_FACTOR, precision=0, visible="hidden", elem_id=f"{KIND}_upscale_mode")
    controls.keep(value_name(step, "upscale_mode"), mode)
    return {
        "by_factor": by_factor, "to_size": to_size, "upscale_mode": mode, "upscale_by": factor, "upscaler_1": first,
        "swap": swap, "sides": sides,
    }  # fmt: skip
