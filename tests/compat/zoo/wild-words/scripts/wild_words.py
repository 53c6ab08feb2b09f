"""Rewrites prompts before they are read, brings its own package and tags of its own."""

import gradio as gr
from scripts.wild_shared import COUNTER
from wild_core.words import expand

from modules import extra_networks, scripts
from modules.script_callbacks import on_before_ui, on_infotext_pasted


class WildNetwork(extra_networks.ExtraNetwork):
    def __init__(self):
        super().__init__("wild")
        self.active = []

    def activate(self, p, params_list):
        self.active = [one.positional[0] for one in params_list]
        COUNTER["activated"] += len(self.active)

    def deactivate(self, p):
        self.active = []
        COUNTER["deactivated"] += 1


class WildWords(scripts.Script):
    def title(self):
        return "Wild words"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Checkbox(label="Wild", value=True)]

    def before_process(self, p, wild):
        if wild and "{" in p.prompt:
            p.extra_generation_params["Template"] = p.prompt
            p.prompt = expand(p.prompt)

    def before_process_batch(self, p, wild, batch_number, prompts, seeds, subseeds):
        if wild:
            for place, text in enumerate(prompts):
                p.prompts[place] = text.replace("late", f"batch{batch_number}")

    def after_extra_networks_activate(self, p, *args, **kwargs):
        COUNTER["tags"] = sorted(kwargs["extra_network_data"])


def pasted(infotext, params):
    if "Template" in params:
        params["Prompt"] = params.pop("Template")


def register():
    extra_networks.register_extra_network(WildNetwork())


register()
on_before_ui(lambda: COUNTER.update(before_ui=True))
on_infotext_pasted(pasted)
