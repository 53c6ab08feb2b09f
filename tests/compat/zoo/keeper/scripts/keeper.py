"""Watches pictures being saved and saves some itself."""

import os

import gradio as gr

from modules import images, paths, scripts
from modules.script_callbacks import ImageSaveParams, on_before_image_saved, on_image_saved
from modules.shared import opts, walk_files

SAVED = []


class Keeper(scripts.Script):
    def title(self):
        return "Keeper"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Checkbox(False, label="Keep a copy")]

    def postprocess(self, p, processed, keep):
        if not keep:
            return
        folder = os.path.join(paths.data_path, "kept")
        for place, image in enumerate(processed.images):
            path, _ = images.save_image(
                image,
                folder,
                "kept",
                processed.all_seeds[place],
                info=processed.infotexts[place],
                p=p,
                extension=opts.samples_format,
                save_to_dirs=False,
            )
            assert path in list(walk_files(folder, allowed_extensions=[".png"]))
        small = images.resize_image(0, processed.images[0], 16, 16)
        processed.images.append(small)
        processed.infotexts.append("a small copy")


def before(params: ImageSaveParams):
    if "parameters" in params.pnginfo:
        params.pnginfo["parameters"] += ", Kept by: keeper"


on_before_image_saved(before)
on_image_saved(lambda params: SAVED.append(params.filename))
