"""Controls inside of accordions and tabs that its page script looks for, and a hidden button that it presses."""

import gradio as gr

from modules import script_callbacks, scripts
from modules.ui_components import InputAccordion


class PageProbe(scripts.Script):
    def title(self):
        return "Page probe"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        kind = "img2img" if is_img2img else "txt2img"
        with InputAccordion(False, label="Probe", elem_id=f"{kind}_probe") as on:
            drawn = gr.Image(source="upload", tool="sketch", type="numpy", label="Drawn", elem_id=f"{kind}_probe_drawn")
            state = gr.State({"count": 0})
        return [on, drawn, state]

    def process(self, p, on, drawn, state):
        if not on:
            return
        told = "nothing" if drawn is None else f"{drawn['image'].shape} {int(drawn['mask'].max())}"
        p.extra_generation_params["Probe"] = f"{told} {type(state).__name__}"


def tab():
    with gr.Blocks(analytics_enabled=False) as page:
        with gr.Accordion("Inside", open=False):
            text = gr.Textbox("a", elem_id="probe_inner")
        with gr.Tabs(elem_id="probe_tabs"):
            with gr.TabItem("One"):
                gr.HTML("one")
            with gr.TabItem("Two", elem_id="probe_second_tab"):
                out = gr.Textbox(elem_id="probe_out")
        button = gr.Button("Hidden", visible=False, elem_id="probe_hidden")
        button.click(lambda words: f"{words}!", _js="probeScript", inputs=[text], outputs=[out])
    return [(page, "Probe", "page_probe")]


script_callbacks.on_ui_tabs(tab)
