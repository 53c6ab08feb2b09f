"""Changes what text encoders say: by a hook, by another method, by an embedding of its own."""

import gradio as gr
import torch

from modules import scripts, sd_hijack, shared
from modules.sd_hijack_clip import FrozenCLIPEmbedderWithCustomWordsBase
from modules.textual_inversion.textual_inversion import Embedding

SEEN = []


class WordHook(scripts.Script):
    def title(self):
        return "Word hook"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Radio(["off", "look", "hook", "method", "word"], value="off", label="What")]

    def process(self, p, what):
        encoder = shared.sd_model.cond_stage_model
        assert isinstance(encoder, FrozenCLIPEmbedderWithCustomWordsBase)
        assert encoder is p.sd_model.cond_stage_model
        self.undo = []
        if what in ("look", "hook"):

            def hook(_module, inputs, output):
                SEEN.append(list(inputs[0]))
                return torch.zeros_like(output) if what == "hook" else None

            self.undo.append(encoder.register_forward_hook(hook).remove)
        if what == "method":
            plain = encoder.process_tokens
            encoder.process_tokens = lambda ids, weights: plain(ids, [[2.0] * len(row) for row in weights])
            self.undo.append(lambda: delattr(encoder, "process_tokens"))
        if what == "word":
            vec = encoder.encode_embedding_init_text("blue", 1)
            made = Embedding(vec, "zebra")
            made.vectors = 1
            sd_hijack.model_hijack.embedding_db.register_embedding(made, p.sd_model)
            self.undo.append(sd_hijack.model_hijack.embedding_db.ids_lookup.clear)

    def postprocess(self, p, processed, what):
        for one in self.undo:
            one()
