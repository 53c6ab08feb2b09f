"""The hires pass of txt2img: its controls, and the sizes it makes of a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest
from modules.domain.hires import hires_size, old_first_pass
from modules.domain.request import BatchSpec, Generation, HiresSpec, ImageRef, Size
from modules.engine.job import Owner
from modules.web.rest.build import build
from modules.web.ui import drawings, html
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.pasting import seeds_of
from modules.web.ui.tabs.generation import switched
from modules.web.ui.tabs.generation_events import Parts, connect_generate
from modules.web.ui.tabs.send_to import limits_of, picture_shown
from modules.web.ui.tabs.tab import QUIET
from modules.web.ui.values import ENABLE_HIRES, TXT2IMG, generation_of, typed_value

MODEL_ROW = ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler")
PROMPT_ROW = ("hr_prompt", "hr_negative_prompt")
SIZES = ("width", "height", "hr_scale", "hr_resize_x", "hr_resize_y")


def hires(context: UiContext, controls: Controls) -> Parts:
    """Build the accordion.

    Returns:
        `hires_note`, which says from which size to which a picture goes, and `revealed`: rows that are hidden until
        somebody uses them, with the names of their controls.
    """
    ui = context.services.settings.snapshot().ui
    with switched(controls, ENABLE_HIRES, "Hires. fix", f"{TXT2IMG}_hr", "txtimg_hr_finalres") as note:
        with gr.Row(elem_id="txt2img_hires_fix_row1"):
            controls.add("hr_upscaler", min_width=140)
            controls.add("hr_second_pass_steps", min_width=140)
            controls.add("denoising_strength", min_width=140)
            controls.add("hr_cfg", min_width=140)
        with gr.Row(elem_id="txt2img_hires_fix_row2"):
            controls.add("hr_scale", min_width=140)
            controls.add("hr_resize_x", min_width=140)
            controls.add("hr_resize_y", min_width=140)
        with gr.Row(elem_id="txt2img_hires_fix_row3", visible=ui.hires_fix_show_sampler) as models:
            controls.add("hr_checkpoint_name", min_width=140)
            controls.add("hr_sampler_name", min_width=140)
            controls.add("hr_scheduler", min_width=140)
        with gr.Row(elem_id="txt2img_hires_fix_row4", visible=ui.hires_fix_show_prompts) as prompts:
            for name, words in (
                ("hr_prompt", "Prompt of the hires pass.\nLeave empty to use the same prompt as in the first pass."),
                ("hr_negative_prompt", "Negative prompt of the hires pass.\nLeave empty to use the first one."),
            ):
                controls.add(name, lines=3, max_lines=12, placeholder=words)
    return {"hires_note": note, "revealed": ((models, MODEL_ROW), (prompts, PROMPT_ROW))}


def connect_hires(context: UiContext, controls: Controls, parts: Parts) -> None:
    """Keep the note about sizes true, and let a finished picture be enlarged."""
    connect_generate(
        context, controls, parts, partial(_enlarged, context), event=parts["upscale"].click,
        more=[parts["shown"], parts["selected"]],
    )  # fmt: skip

    def describe(enabled: bool, *numbers: Any) -> str:
        """Say what size the picture begins and ends with."""
        old = context.services.settings.snapshot().compatibility.use_old_hires_fix_width_height
        return sizes_note(dict(zip(SIZES, numbers, strict=True)), old=old) if enabled else ""

    asked: list[Any] = [controls[name] for name in (ENABLE_HIRES, *SIZES)]
    # One event for all of them: the answers of several could overtake each other and leave an old note.
    on: Any = gr.on
    on(
        [control.change for control in asked],
        describe,
        asked,
        [parts["hires_note"]],
        preprocess=False,
        trigger_mode="always_last",
        **QUIET,
    )


def _enlarged(context: UiContext, owner: Owner, values: Mapping[str, Any], more: Sequence[Any]) -> Generation:
    """Ask for the hires pass alone, on the selected picture of the gallery and with its seed."""
    shown, selected = more
    data = picture_shown(context, owner, shown, selected)
    request = generation_of(TXT2IMG, {**values, ENABLE_HIRES: True}, context.services, owner.user)
    width, height = drawings.size_of(data, limits_of(context))
    seed, subseed = seeds_of(shown.infotexts[selected])
    return replace(
        request,
        size=Size(width=width, height=height),
        batch=BatchSpec(),
        seed=replace(request.seed, seed=seed, subseed=subseed),
        hires=replace(request.hires or HiresSpec(), first_image=ImageRef.of(data)),
    )


def sizes_note(values: dict[str, Any], *, old: bool) -> str:
    """Say from which size to which the hires pass goes; empty while a number cannot be used.

    Args:
        values: raw values of the controls by name.
        old: whether width and height are those of the finished picture, as before 1.0.5.
    """
    try:
        typed = {name: typed_value(TXT2IMG, name, value) for name, value in values.items()}
    except InvalidRequest:
        return ""
    first = build(Size, typed)
    last = first if old else hires_size(first, build(HiresSpec, typed)).target
    first = old_first_pass(first) if old else first
    return html.element("span", f"from {first.width}x{first.height} to ") + html.element(
        "strong", f"{last.width}x{last.height}"
    )
