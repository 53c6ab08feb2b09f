"""Stands wherever pictures are mixed, laid over, put together and saved."""

import gradio as gr
import torch
from PIL import Image

from modules import images, script_callbacks, scripts
from modules.processing import setup_color_correction

SEEN = []


class LayerOver(scripts.Script):
    mode = ""

    def title(self):
        return "Layer over"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox("", label="Mode")]

    def process(self, p, mode):
        LayerOver.mode = mode
        SEEN.clear()

    def process_batch(self, p, mode, **kwargs):
        if mode == "started":
            p.overlay_images = [Image.new("RGBA", (64, 64), (0, 255, 0, 255))]
        if mode == "started" and hasattr(p, "init_latent"):
            shapes = [tuple(one.shape) for one in (p.init_latent, p.mask, p.nmask, p.image_conditioning)]
            SEEN.append((*shapes, p.mask_for_overlay.size, bool((p.mask + p.nmask == 1).all())))

    def on_mask_blend(self, p, mba, mode):
        if mode == "blend":
            wanted = mba.current_latent * mba.nmask + mba.init_latent * mba.mask
            assert torch.equal(mba.blended_latent, wanted)
            SEEN.append((mba.is_final_blend, mba.sigma is None, mba.denoiser is p.sampler.model_wrap_cfg))
            mba.blended_latent = mba.current_latent

    def postprocess_image(self, p, pp, mode):
        if mode == "late":
            p.extra_generation_params["Late"] = "very"
        if mode == "colours":
            p.color_corrections = [setup_color_correction(Image.new("RGB", (64, 64), (200, 30, 30)))]

    def postprocess_maskoverlay(self, p, ppmo, mode):
        if mode == "overlay":
            SEEN.append((ppmo.index, ppmo.mask_for_overlay.size, ppmo.overlay_image.mode))
            ppmo.overlay_image = Image.new("RGBA", ppmo.overlay_image.size, (255, 0, 0, 255))

    def postprocess_image_after_composite(self, p, pp, mode):
        if mode == "composite":
            SEEN.append((pp.index, pp.image.getpixel((1, 1))))
            pp.image = Image.new("RGB", pp.image.size, (0, 0, 255))

    def postprocess(self, p, processed, mode):
        if mode == "own file":
            folder = p.outpath_samples or "outputs/layer-over"
            path, _ = images.save_image(
                processed.images[0], folder, "own", p.seed, p.prompt, "png", info="Steps: 1", p=p
            )
            SEEN.append(path)


def extra_noise(params):
    if LayerOver.mode == "noise":
        SEEN.append((tuple(params.noise.shape), tuple(params.x.shape), tuple(params.xi.shape)))
        params.noise *= 0
    if LayerOver.mode == "other noise":
        params.noise = params.noise * 0


def grid(params):
    if LayerOver.mode == "grid":
        SEEN.append((len(params.imgs), params.cols, params.rows))
        params.cols, params.rows = 1, 2


def before_saved(params):
    if LayerOver.mode in ("files", "own file"):
        SEEN.append(("before", params.image.size, sorted(params.pnginfo), params.p is not None))
        params.pnginfo["parameters"] = params.pnginfo["parameters"] + ", Told: late"


def saved(params):
    if LayerOver.mode in ("files", "own file"):
        name = params.filename.rpartition("/")[2]
        SEEN.append(("after", params.image.size, "Told: late" in params.pnginfo["parameters"], name))


script_callbacks.on_extra_noise(extra_noise)
script_callbacks.on_image_grid(grid)
script_callbacks.on_before_image_saved(before_saved)
script_callbacks.on_image_saved(saved)
