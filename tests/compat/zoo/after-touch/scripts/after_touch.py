"""Steps for Extras: a negative, one that fails, and one that has no controls."""

import gradio as gr
from PIL import Image, ImageOps

from modules import processing, scripts_postprocessing, shared
from modules.ui_components import InputAccordion

changed = []
seen = []


class Negative(scripts_postprocessing.ScriptPostprocessing):
    name = "Turn to negative"
    order = 1500

    def ui(self):
        with InputAccordion(False, label="Turn to negative", elem_id="after_touch") as enable:
            share = gr.Slider(
                label="Share", minimum=0.0, maximum=1.0, step=0.01, value=1.0, elem_id="after_touch_share"
            )
            keep = gr.Checkbox(label="Keep the original beside it", elem_id="after_touch_keep")
        return {"enable": enable, "share": share, "keep": keep}

    def process_firstpass(self, pp, enable, share, keep):
        seen.append((pp.shared.target_width, pp.shared.target_height, shared.state.job))

    def process(self, pp: scripts_postprocessing.PostprocessedImage, enable, share, keep):
        if not enable:
            return
        if keep:
            pp.extra_images.append(pp.create_copy(pp.image.copy(), nametags=["positive"], disable_processing=True))
        pp.image = Image.blend(pp.image.convert("RGB"), ImageOps.invert(pp.image.convert("RGB")), share)
        pp.info["Negative share"] = share
        pp.nametags.append("negative")
        pp.caption = "a negative"

    def image_changed(self):
        changed.append(True)


class Unlucky(scripts_postprocessing.ScriptPostprocessing):
    name = "Fails"
    order = 1200

    def process(self, pp):
        raise RuntimeError("no luck today")


class Corner(scripts_postprocessing.ScriptPostprocessing):
    name = "White corner"
    order = 1600

    def process(self, pp):
        pp.image.putpixel((0, 0), (255, 255, 255))


class Painted(scripts_postprocessing.ScriptPostprocessing):
    name = "Paint another"
    order = 1700

    def ui(self):
        return {"enable": gr.Checkbox(label="Paint another", elem_id="after_touch_paint")}

    def process(self, pp, enable):
        if not enable:
            return
        p = processing.StableDiffusionProcessingTxt2Img(
            sd_model=shared.sd_model, prompt="a red circle", seed=5, steps=3, width=64, height=64, cfg_scale=7,
            sampler_name="Euler", do_not_save_samples=True, do_not_save_grid=True,
        )  # fmt: skip
        pp.image = processing.process_images(p).images[0]
