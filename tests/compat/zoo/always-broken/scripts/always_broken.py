"""Fails wherever it is asked."""

from modules import script_callbacks, scripts


def fail(*args, **kwargs):
    raise ZeroDivisionError("always broken")


class AlwaysBroken(scripts.Script):
    def title(self):
        return "Always broken"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return []

    setup = before_process = process = before_process_batch = after_extra_networks_activate = fail
    process_batch = process_before_every_sampling = before_hr = post_sample = postprocess_batch = fail
    postprocess_batch_list = postprocess_image = postprocess_image_after_composite = postprocess = fail
    postprocess_maskoverlay = on_mask_blend = after_component = before_component = fail


for name in (
    "cfg_denoiser",
    "cfg_denoised",
    "cfg_after_cfg",
    "before_image_saved",
    "image_saved",
    "app_started",
    "ui_tabs",
    "ui_settings",
    "infotext_pasted",
    "before_ui",
    "model_loaded",
    "script_unloaded",
    "image_grid",
):
    getattr(script_callbacks, f"on_{name}")(fail)
