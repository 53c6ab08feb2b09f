"""Repaints the middle of every picture by a run of its own, as detailers do."""

from copy import copy

import gradio as gr
from PIL import Image, ImageDraw

from modules import images, processing, scripts, shared
from modules.processing import StableDiffusionProcessingImg2Img, process_images


class Detailer(scripts.Script):
    def __init__(self):
        super().__init__()
        self.runs = 0

    def title(self):
        return "Middle Detailer"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with gr.Group():
            enabled = gr.Checkbox(label="Enable detailer", value=False, visible=True)
            strength = gr.Slider(label="Detail strength", minimum=0.0, maximum=1.0, step=0.01, value=0.4)
            prompt = gr.Textbox(label="Detail prompt", value="", lines=2)
        return enabled, strength, prompt

    def postprocess_image(self, p, pp, enabled, strength, prompt):
        if not enabled or getattr(p, "_detailing", False) or shared.state.interrupted:
            return
        mask = Image.new("L", pp.image.size)
        width, height = mask.size
        ImageDraw.Draw(mask).rectangle((width // 4, height // 4, 3 * width // 4, 3 * height // 4), fill=255)
        inner = StableDiffusionProcessingImg2Img(
            init_images=[pp.image],
            mask=mask,
            mask_blur=2,
            inpainting_fill=1,
            inpaint_full_res=True,
            inpaint_full_res_padding=8,
            denoising_strength=strength,
            sd_model=p.sd_model,
            outpath_samples=p.outpath_samples,
            outpath_grids=p.outpath_grids,
            prompt=prompt or p.all_prompts[p.batch_index],
            negative_prompt=p.negative_prompt,
            seed=p.all_seeds[p.batch_index],
            sampler_name=p.sampler_name,
            batch_size=1,
            n_iter=1,
            steps=p.steps,
            cfg_scale=p.cfg_scale,
            width=p.width,
            height=p.height,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        inner._detailing = True
        inner.scripts = None
        again = copy(inner)
        again.extra_generation_params = dict(p.extra_generation_params)
        found = process_images(again)
        if found.images:
            pp.image = images.flatten(found.images[0], shared.opts.img2img_background_color)
        self.runs += 1
        p.extra_generation_params["Detailer strength"] = strength
        p.extra_generation_params["Detailer seed"] = processing.get_fixed_seed(found.all_seeds[0])
