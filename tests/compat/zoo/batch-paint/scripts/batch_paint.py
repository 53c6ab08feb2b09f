"""Works on the tensors and the list of pictures of a batch."""

import gradio as gr
import torch

from modules import scripts


class BatchPaint(scripts.Script):
    def title(self):
        return "Batch paint"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Dropdown(["off", "in place", "more", "latent"], value="off", label="Paint")]

    def postprocess_batch(self, p, paint, **kwargs):
        if paint == "in place":
            kwargs["images"][:, 0] = 1.0

    def postprocess_batch_list(self, p, pp, paint, **kwargs):
        if paint == "more":
            pp.images.append(torch.zeros_like(pp.images[0]))
            p.prompts = [*p.prompts, p.prompts[-1]]

    def post_sample(self, p, ps, paint):
        if paint == "latent":
            ps.samples = torch.zeros_like(ps.samples)
