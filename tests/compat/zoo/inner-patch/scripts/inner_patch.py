"""Replaces functions of the program and hooks layers of the network, as deep extensions do."""

import gradio as gr

import modules.processing as processing
from modules import patches, script_callbacks, scripts, sd_samplers_kdiffusion, shared

SEEN = {"steps": 0, "calls": 0, "inner": 0}
original_inner = processing.process_images_inner


def inner(p):
    SEEN["inner"] += 1
    return original_inner(p)


def callback_state(self, d):
    SEEN["steps"] = max(SEEN["steps"], d["i"] + 1)


class InnerPatch(scripts.Script):
    def title(self):
        return "Inner patch"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Checkbox(False, label="Patch")]

    def process_batch(self, p, patch, **kwargs):
        if not patch:
            return
        self.handles = [
            module.register_forward_hook(self.count)
            for _, module in shared.sd_model.model.diffusion_model.named_modules()
            if type(module).__name__ in ("Linear", "Conv2d")
        ]

    def count(self, *_):
        SEEN["calls"] += 1

    def postprocess(self, p, processed, patch):
        for handle in getattr(self, "handles", ()):
            handle.remove()


processing.process_images_inner = inner
patches.patch(__name__, sd_samplers_kdiffusion.KDiffusionSampler, "callback_state", callback_state)


def unload():
    processing.process_images_inner = original_inner
    patches.undo(__name__, sd_samplers_kdiffusion.KDiffusionSampler, "callback_state")


script_callbacks.on_script_unloaded(unload)
