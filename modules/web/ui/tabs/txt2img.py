"""Pictures from text."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.results import Shown
from modules.web.ui.tabs.tab import Made, Tab, tool
from modules.web.ui.tabs.txt2img_events import connect
from modules.web.ui.values import OVERRIDES, SUBSEED_SHOW, offered_samplers

ID = "txt2img"
PROGRESS = (
    '<div class="progress-track" hidden><div class="progress-bar"></div><span class="progress-text"></span></div>'
)
PREVIEW = '<img alt="Live preview" hidden>'
"""Filled by `assets/view.js`."""


def build(context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    controls = Controls(ID, lists_of(context))
    with gr.Row(elem_id=f"{ID}_toprow", elem_classes=["toprow"]):
        _prompts(controls)
        actions = _actions(controls)
    with gr.Row(elem_classes=["workspace"]):
        with gr.Column(elem_id=f"{ID}_settings", elem_classes=["settings-column"], min_width=320):
            settings = _settings(controls)
        with gr.Column(elem_id=f"{ID}_results", elem_classes=["results-column"], min_width=320):
            results = _results()
    parts = actions | settings | results
    connect(context, controls, parts)
    return Made(controls=dict(controls.made), parts=parts)


def lists_of(context: UiContext) -> Mapping[str, Sequence[str]]:
    """Return the lists that drop-downs offer."""
    services = context.services
    names = [sampler.name for sampler in services.samplers()]
    return {
        "samplers": offered_samplers(services.settings.snapshot(), names),
        "schedulers": [schedule.label for schedule in services.schedulers()],
        "styles": [style.name for style in services.styles()],
    }


def _prompts(controls: Controls) -> None:
    with gr.Column(elem_id=f"{ID}_prompt_container", elem_classes=["prompt-container"], scale=6, min_width=320):
        for name, words, counter in (
            ("prompt", "Prompt\n(Ctrl+Enter generates, Alt+Enter skips, Esc interrupts)", "token_counter"),
            ("negative_prompt", "Negative prompt\n(what should not be in the picture)", "negative_token_counter"),
        ):
            with gr.Column(elem_classes=["prompt-row"]):
                controls.add(name, lines=3, max_lines=20, placeholder=words, show_label=False, container=False)
                gr.HTML('<span class="count">0/75</span>', elem_id=f"{ID}_{counter}", elem_classes=["token-counter"])


def _actions(controls: Controls) -> dict[str, Any]:
    with gr.Column(elem_id=f"{ID}_actions_column", elem_classes=["actions-column"], scale=1, min_width=220):
        with gr.Row(elem_id=f"{ID}_generate_box", elem_classes=["generate-box"]):
            generate = gr.Button("Generate", variant="primary", elem_id=f"{ID}_generate")
            interrupt = gr.Button("Interrupt", elem_id=f"{ID}_interrupt", elem_classes=["while-running"], min_width=0)
            skip = gr.Button("Skip", elem_id=f"{ID}_skip", elem_classes=["while-running"], min_width=0)
        with gr.Row(elem_id=f"{ID}_tools", elem_classes=["tools"]):
            found = {
                "paste": tool("↙", "paste"),
                "clear": tool("✕", f"{ID}_clear_prompt"),
                "apply_styles": tool("✎", f"{ID}_style_apply"),
                "restore": tool("⟲", f"{ID}_restore_progress"),
            }
        with gr.Row(elem_id=f"{ID}_styles_row", elem_classes=["styles-row"]):
            controls.add("styles", show_label=False, container=False)
    return found | {"generate": generate, "interrupt": interrupt, "skip": skip}


def _settings(controls: Controls) -> dict[str, Any]:
    with gr.Row(elem_id=f"sampler_selection_{ID}"):
        controls.add("sampler_name", scale=2, min_width=140)
        controls.add("scheduler", scale=2, min_width=140)
    with gr.Row():
        controls.add("steps")
    with gr.Row(elem_classes=["size-row"]):
        with gr.Column(elem_id=f"{ID}_column_size", scale=4, min_width=160):
            controls.add("width")
            controls.add("height")
        with gr.Column(elem_id=f"{ID}_dimensions_row", elem_classes=["dimensions-tools"], scale=0, min_width=44):
            swap = tool("⇅", f"{ID}_res_switch_btn")
        with gr.Column(elem_id=f"{ID}_column_batch", scale=3, min_width=140):
            controls.add("n_iter")
            controls.add("batch_size")
    with gr.Row():
        controls.add("cfg_scale")
    seeds = _seeds(controls)
    with gr.Row(elem_id=f"{ID}_override_settings_row"):
        controls.keep(
            OVERRIDES,
            gr.Dropdown(
                label="Override settings", choices=[], value=[], multiselect=True, allow_custom_value=True,
                visible=False, elem_id=f"{ID}_override_settings",
            ),
        )  # fmt: skip
    return seeds | {"swap": swap}


def _seeds(controls: Controls) -> dict[str, Any]:
    with gr.Row(elem_id=f"{ID}_seed_row", elem_classes=["seed-row"]):
        controls.add("seed", scale=4, min_width=100)
        random_seed, reuse_seed = tool("⚄", f"{ID}_random_seed"), tool("♻", f"{ID}_reuse_seed")
        box = gr.Checkbox(label="Extra", elem_id=f"{ID}_subseed_show", container=False, scale=0, min_width=80)
        controls.keep(SUBSEED_SHOW, box)
    with gr.Column(visible=False, elem_id=f"{ID}_seed_extras") as extras:
        with gr.Row(elem_id=f"{ID}_subseed_row", elem_classes=["seed-row"]):
            controls.add("subseed", scale=4, min_width=100)
            random_subseed, reuse_subseed = tool("⚄", f"{ID}_random_subseed"), tool("♻", f"{ID}_reuse_subseed")
            controls.add("subseed_strength", scale=4, min_width=140)
        with gr.Row():
            controls.add("seed_resize_from_w")
            controls.add("seed_resize_from_h")
    return {
        "random_seed": random_seed, "reuse_seed": reuse_seed, "random_subseed": random_subseed,
        "reuse_subseed": reuse_subseed, "extras": extras,
    }  # fmt: skip


def _results() -> dict[str, Any]:
    gr.HTML(PROGRESS, elem_id=f"{ID}_progress", elem_classes=["progress"], apply_default_css=False)
    with gr.Column(elem_id=f"{ID}_gallery_container", elem_classes=["gallery-container"]):
        gr.HTML(PREVIEW, elem_id=f"{ID}_live_preview", elem_classes=["live-preview"], apply_default_css=False)
        gallery = gr.Gallery(
            label="Output", show_label=False, elem_id=f"{ID}_gallery", columns=4, preview=True, object_fit="contain",
            height="auto", interactive=False, buttons=["download", "fullscreen"],
        )  # fmt: skip
    with gr.Column(elem_id=f"{ID}_results_panel", elem_classes=["results-panel"]):
        info = gr.HTML("", elem_id=f"html_info_{ID}", elem_classes=["infotext"])
        log = gr.HTML("", elem_id=f"html_log_{ID}", elem_classes=["html-log"])
    return {
        "gallery": gallery, "info": info, "log": log, "shown": gr.State(Shown()), "selected": gr.State(0),
        "job": gr.Textbox(visible="hidden", elem_id=f"{ID}_job"),
        "show_request": gr.Textbox(visible="hidden", elem_id=f"{ID}_show_request"),
        "show": gr.Button("Show", visible="hidden", elem_id=f"{ID}_show"),
    }  # fmt: skip


TAB = Tab(id=ID, label="txt2img", build=build)
