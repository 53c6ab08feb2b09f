"""Buttons that send pictures and parameters to tabs, and a tab that others send to."""

import gradio as gr

from modules import infotext_utils as parameters_copypaste
from modules import script_callbacks
from modules.ui_common import create_output_panel


def own_tab(text):
    picture = gr.Image(type="numpy", elem_id="send_off_own_source")
    shown = gr.Image(type="pil", elem_id="send_off_shown")
    steps = gr.Number(value=1, elem_id="send_off_steps")
    words = gr.Textbox(elem_id="send_off_words")
    own = gr.Button("To this tab", elem_id="send_off_own")
    fields = [(steps, "Steps"), (words, lambda entries: entries.get("Prompt", "").upper())]
    parameters_copypaste.add_paste_fields("send_off", shown, fields)
    parameters_copypaste.register_paste_params_button(
        parameters_copypaste.ParamBinding(
            paste_button=own, tabname="send_off", source_image_component=picture, source_text_component=text
        )
    )


def tab():
    binding = parameters_copypaste.ParamBinding
    with gr.Blocks() as page:
        text = gr.Textbox(elem_id="send_off_source")
        picture = gr.Image(type="filepath", elem_id="send_off_image")
        array = gr.Image(type="numpy", elem_id="send_off_array")
        gallery = gr.Gallery(elem_id="send_off_pictures")
        only_text = gr.Button("Text", elem_id="send_off_text")
        only_picture = gr.Button("Picture", elem_id="send_off_picture")
        from_gallery = gr.Button("Gallery", elem_id="send_off_gallery")
        parameters_copypaste.bind_buttons(parameters_copypaste.create_buttons(["img2img", "extras"]), picture, text)
        for one in (
            binding(paste_button=only_text, tabname="txt2img", source_text_component=text),
            binding(paste_button=only_picture, tabname="img2img", source_image_component=array),
            binding(
                paste_button=from_gallery, tabname="img2img", source_image_component=gallery, source_tabname="txt2img"
            ),
        ):
            parameters_copypaste.register_paste_params_button(one)
        own_tab(text)
        create_output_panel("own", "")
    return [(page, "Send off", "send_off")]


script_callbacks.on_ui_tabs(tab)
