"""Puts its own in the place of parts of the model and of samplers for a while, and the originals back by assignment."""

import gradio as gr
import torch

from modules import scripts, sd_models, sd_samplers, shared

ASKED, HELD = [], []


def hold(thing, name, value):
    """Replace a method; the original is kept beside it."""
    if not hasattr(thing, f"{name}_kept"):
        setattr(thing, f"{name}_kept", getattr(thing, name))
    setattr(thing, name, value)


def let_go(thing, name):
    """Assign the original again."""
    if hasattr(thing, f"{name}_kept"):
        setattr(thing, name, getattr(thing, f"{name}_kept"))
        delattr(thing, f"{name}_kept")


def listening(model, factor=1.0):
    """Ask what was kept."""

    def apply_model(x, t, cond):
        ASKED.append(len(x))
        return model.apply_model_kept(x, t, cond=cond) * factor

    return apply_model


def fails(*_given, **_more):
    raise RuntimeError("a layer broke")


class PutBack(scripts.Script):
    def title(self):
        return "Put back"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox("", label="Mode")]

    def undo(self):
        let_go(shared.sd_model, "apply_model")
        let_go(sd_samplers, "create_sampler")
        let_go(self.layer(), "forward")

    def layer(self):
        return next(shared.sd_model.model.diffusion_model.children())

    def process(self, p, mode):
        self.undo()  # the last run may have failed
        ASKED.clear()
        model = shared.sd_model
        if mode in ("model", "half", "dies"):
            hold(model, "apply_model", listening(model, 1.0 if mode == "model" else 0.5))
        if mode == "data":
            kept = sd_models.model_data.sd_model
            hold(kept, "apply_model", listening(kept))
        if mode in ("at once", "between", "dies"):
            hold(sd_samplers, "create_sampler", lambda name, given: self.create(mode, name, given))
        if mode == "text":
            for encoder in model.cond_stage_model.modules():
                encoder.forward = encoder.forward
        if mode == "dies":
            hold(self.layer(), "forward", fails)
            shared.opts.CLIP_stop_at_last_layers = 2
            shared.opts.data["eta_ancestral"] = 0.1

    def create(self, mode, name, model):
        made = sd_samplers.create_sampler_kept(name, model)
        HELD.append(made)
        denoiser, inner = made.model_wrap_cfg, made.model_wrap_cfg.inner_model
        if mode == "at once":
            for thing, method in ((denoiser, "forward"), (denoiser, "combine_denoised"), (inner, "forward")):
                hold(thing, method, fails)
                let_go(thing, method)
        if mode == "between":
            plain = inner.forward

            def forward(x, sigma, cond):
                hold(model, "apply_model", listening(model))
                found = plain(x, sigma, cond=cond)
                let_go(model, "apply_model")
                return found

            inner.forward = forward
        if mode == "dies":
            denoiser.combine_denoised = lambda x_out, conds_list, uncond, scale: torch.zeros_like(x_out[:1])
        return made

    def postprocess(self, p, processed, mode):
        self.undo()
