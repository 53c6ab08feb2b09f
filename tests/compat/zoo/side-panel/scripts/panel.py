"""A tab of its own with idioms of gradio 3."""

import gradio as gr

from modules import infotext_utils as parameters_copypaste
from modules import script_callbacks, shared, ui
from modules.call_queue import wrap_gradio_gpu_call
from modules.sd_models import checkpoint_tiles, list_models
from modules.ui_components import DropdownMulti, FormRow, InputAccordion, ResizeHandleRow, ToolButton


class PanelButton(gr.Button, gr.components.FormComponent):
    def __init__(self, **kwargs):
        super().__init__(variant="tool", **kwargs)


def work(id_task, text):
    return f"{text}!", "<p>done</p>"


def on_ui_tabs():
    with gr.Blocks(analytics_enabled=False, css=".panel { color: red }") as panel:
        with ResizeHandleRow(equal_height=False):
            with gr.Column(variant="panel"):
                with gr.Box(), FormRow():
                    text = gr.Textbox("hello", label="Text", elem_id="panel_text").style(container=False)
                    go = gr.Button("Go", elem_id="panel_go", variant="primary")
                    tool = ToolButton("\U0001f3b2", tooltip="Dice")
                    own = gr.Button(value="Own", tooltip="words", visible=False)
                with InputAccordion(False, label="More", elem_id="panel_more") as more:
                    models = gr.Dropdown(label="Models", choices=checkpoint_tiles(), elem_id="panel_models")
                    ui.create_refresh_button(
                        models, list_models, lambda: {"choices": checkpoint_tiles()}, "panel_refresh"
                    )
                    DropdownMulti(label="Several", choices=["a", "b"])
                picture = gr.Image(label="Picture", source="upload", type="pil", tool="editor", elem_id="panel_image")
            out = gr.Textbox(label="Out", elem_id="panel_out")
            html = gr.HTML(elem_id="panel_html")
            state = gr.Variable(0)
        go.click(
            fn=wrap_gradio_gpu_call(work, extra_outputs=[""]),
            _js="(a, b) => [a, b]",
            inputs=[state, text],
            outputs=[out, html],
        )
        tool.click(fn=lambda: gr.Textbox.update(value="7"), inputs=[], outputs=[out]).then(
            fn=None, _js="() => {}", inputs=[], outputs=[]
        )
        more.change(fn=lambda on: gr.update(visible=on), inputs=[more], outputs=[own])
        buttons = parameters_copypaste.create_buttons(["txt2img", "img2img"])
        parameters_copypaste.bind_buttons(buttons, picture, text)
    return [(panel, "Panel", "side_panel")]


def on_ui_settings():
    shared.opts.add_option(
        key="panel_rows",
        info=shared.OptionInfo(
            2, "Rows", gr.Slider, {"minimum": 1, "maximum": 9, "step": 1}, section=("panel", "Panel")
        ),
    )


script_callbacks.on_ui_tabs(on_ui_tabs)
script_callbacks.on_ui_settings(on_ui_settings)
