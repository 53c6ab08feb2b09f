"""Puts a box below the prompt, reads the prompt, and brings a tab that sends to the boxes."""

import gradio as gr

from modules import script_callbacks, scripts

BOXES = {}


class TagRow(scripts.Script):
    def __init__(self):
        self.row = self.prompt = None
        self.on_after_component(self.below, elem_id="txt2img_prompt_row")
        self.on_after_component(self.found, elem_id="txt2img_prompt")

    def title(self):
        return "Tag row"

    def show(self, is_img2img):
        return scripts.AlwaysVisible if not is_img2img else False

    def below(self, _on):
        self.row = gr.Row(elem_id="tag_row_place")

    def found(self, on):
        self.prompt = on.component

    def after_component(self, component, **kwargs):
        if kwargs.get("elem_id") == "txt2img_steps":
            self.steps = component

    def ui(self, is_img2img):
        with self.row:
            tags = gr.Textbox(value="", label="Tags", elem_id="tag_row_tags")
        tags.submit(lambda text: text, inputs=[tags], outputs=[self.prompt])
        tags.change(lambda text: len(text) + 1, inputs=[tags], outputs=[self.steps])
        BOXES["tags"] = tags
        return [tags]

    def process(self, p, tags):
        if tags:
            p.all_prompts = [f"{text}, {tags}" for text in p.all_prompts]


def tab():
    with gr.Blocks() as page:
        send = gr.Button("Send", elem_id="tag_row_send")
        send.click(lambda: "sent", inputs=[], outputs=[BOXES["tags"]])
    return [(page, "Tag row", "tag_row")]


script_callbacks.on_ui_tabs(tab)
