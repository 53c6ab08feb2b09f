"""Steps over finished pictures: one, several, or those of a folder."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from modules.domain.extras import KIND
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.tabs import generation
from modules.web.ui.tabs.extras_events import FILES, FOLDER, SINGLE, connect_extras
from modules.web.ui.tabs.extras_steps import build_steps
from modules.web.ui.tabs.tab import Made, Tab

HEIGHT = 480


def build(context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    controls = Controls(KIND, lists_of(context.services))
    with gr.Row(elem_classes=["workspace"]):
        with gr.Column(elem_id=f"{KIND}_settings", elem_classes=["settings-column"], min_width=320):
            sources = _sources()
            steps = build_steps(context, controls)
        with gr.Column(elem_id=f"{KIND}_results", elem_classes=["results-column"], min_width=320):
            actions = _actions()
            results = generation.results(context, KIND)
    parts = {**sources, **steps, **actions, **results}
    connect_extras(context, controls, parts)
    return Made(controls=dict(controls.made), parts=parts)


def _sources() -> dict[str, Any]:
    """Build the inner tabs, one for each way to give pictures."""
    with gr.Tabs(elem_id=f"mode_{KIND}"):
        with gr.Tab("Single Image", id=SINGLE, elem_id=f"{KIND}_single_tab") as single:
            # The file as it is, since what it says about itself goes with the result.
            image = gr.Image(
                label="Source", type="filepath", image_mode=None, sources=["upload", "clipboard"],
                elem_id=f"{KIND}_image", height=HEIGHT, interactive=True, buttons=["fullscreen"],
            )  # fmt: skip
        with gr.Tab("Batch Process", id=FILES, elem_id=f"{KIND}_batch_process_tab") as several:
            files = gr.File(
                label="Pictures", file_count="multiple", file_types=["image"], type="filepath", height=200,
                elem_id=f"{KIND}_image_batch",
            )  # fmt: skip
        with gr.Tab("Batch from Directory", id=FOLDER, elem_id=f"{KIND}_batch_directory_tab") as folder:
            given = gr.Textbox(
                label="Input directory", elem_id=f"{KIND}_batch_input_dir",
                info="In the data folder, or below --gradio-allowed-path.",
            )  # fmt: skip
            output = gr.Textbox(
                label="Output directory", elem_id=f"{KIND}_batch_output_dir", info="Empty is the one of the settings."
            )
            show = gr.Checkbox(True, label="Show result images", elem_id=f"{KIND}_show_extras_results")
    return {
        "image": image, "files": files, "input": given, "output": output, "show_results": show,
        "mode": gr.Textbox(SINGLE, visible="hidden", elem_id=f"{KIND}_mode"),
        f"tab_{SINGLE}": single, f"tab_{FILES}": several, f"tab_{FOLDER}": folder,
    }  # fmt: skip


def _actions() -> dict[str, Any]:
    with gr.Row(elem_id=f"{KIND}_generate_box", elem_classes=["generate-box"]):
        generate = gr.Button("Generate", variant="primary", elem_id=f"{KIND}_generate")
        interrupt = gr.Button("Interrupt", elem_id=f"{KIND}_interrupt", elem_classes=["while-running"], min_width=0)
        skip = gr.Button("Skip", elem_id=f"{KIND}_skip", elem_classes=["while-running"], min_width=0)
    return {"generate": generate, "interrupt": interrupt, "skip": skip}


TAB = Tab(id=KIND, label="Extras", build=build)
