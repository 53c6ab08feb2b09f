"""Looks at and changes guidance at all three places."""

import gradio as gr

from modules import scripts
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    on_cfg_after_cfg,
    on_cfg_denoised,
    on_cfg_denoiser,
    remove_callbacks_for_function,
)


class Probe(scripts.Script):
    def title(self):
        return "Guidance probe"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        mode = gr.Radio(["off", "look", "swap", "scale", "replace"], value="off", label="Mode")
        return [mode]

    def process_batch(self, p, mode, **kwargs):
        assert kwargs["batch_number"] == p.iteration
        self.seen = []
        if mode != "off":
            self.mode = mode
            on_cfg_denoiser(self.before)
            on_cfg_denoised(self.between)
            on_cfg_after_cfg(self.after)

    def postprocess_batch(self, p, mode, **kwargs):
        for function in (self.before, self.between, self.after):
            remove_callbacks_for_function(function)
        if mode != "off":
            p.extra_generation_params["Guidance probe"] = ", ".join(self.seen)

    def before(self, params: CFGDenoiserParams):
        if params.sampling_step == 0:
            self.seen.append(f"{params.x.shape[0]} rows of {params.total_sampling_steps}")
        if self.mode == "swap":
            params.text_cond, params.text_uncond = params.text_uncond, params.text_cond

    def between(self, params: CFGDenoisedParams):
        if self.mode == "scale":
            params.x *= 0.5

    def after(self, params: AfterCFGCallbackParams):
        if self.mode == "replace":
            params.x = params.x * 0
