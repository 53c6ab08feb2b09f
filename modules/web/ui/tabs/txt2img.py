"""Pictures from text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from modules.domain.request import Generation
from modules.engine.job import Owner
from modules.web.ui.cards_tabs import beside_cards
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.tabs import generation
from modules.web.ui.tabs.generation_events import Parts, connect, connect_generate
from modules.web.ui.tabs.hires import connect_hires, hires
from modules.web.ui.tabs.scripts import script_controls, script_of
from modules.web.ui.tabs.tab import Made, Tab
from modules.web.ui.values import TXT2IMG, generation_of


def build(context: UiContext, _made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    controls = Controls(TXT2IMG, lists_of(context.services))
    order = context.services.settings.snapshot().ui.ui_reorder_list
    actions = generation.top(controls)
    with beside_cards(context, TXT2IMG), gr.Row(elem_classes=["workspace"]):
        with gr.Column(elem_id=f"{TXT2IMG}_settings", elem_classes=["settings-column"], min_width=320):
            blocks = generation.in_order(_blocks(context, controls), order)
        with gr.Column(elem_id=f"{TXT2IMG}_results", elem_classes=["results-column"], min_width=320):
            results = generation.results(context, TXT2IMG)
    parts = {**actions, **blocks, **results}

    def make(owner: Owner, values: Mapping[str, Any], asked: Sequence[Any]) -> Generation:
        """Make the request of the controls."""
        script = script_of(TXT2IMG, asked, context.services.scripts)
        return replace(generation_of(TXT2IMG, values, context.services, owner.user), script=script)

    connect_generate(context, controls, parts, make, event=parts["generate"].click, more=parts["script_inputs"])
    connect(context, controls, parts)
    connect_hires(context, controls, parts)
    return Made(controls=dict(controls.made), parts=parts)


def _blocks(context: UiContext, controls: Controls) -> Mapping[str, Callable[[], Parts | None]]:
    def accordions() -> Parts:
        parts = hires(context, controls)
        generation.refiner(controls)
        return parts

    def dimensions() -> Parts:
        with gr.Row(elem_classes=["size-row"]):
            swap = generation.size(controls)
            generation.batch(controls)
            return swap

    def cfg() -> None:
        with gr.Row():
            controls.add("cfg_scale")

    return {
        "sampler": lambda: generation.sampling(controls),
        "accordions": accordions,
        "dimensions": dimensions,
        "cfg": cfg,
        "seed": lambda: generation.seeds(controls),
        "override_settings": lambda: generation.overrides(controls),
        "scripts": lambda: script_controls(context, controls),
        "preset": lambda: generation.preset(TXT2IMG),
    }


TAB = Tab(id=TXT2IMG, label="txt2img", build=build)
