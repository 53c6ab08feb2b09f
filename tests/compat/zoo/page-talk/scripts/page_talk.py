"""Hears of the page: counted prompts, a page that is built anew, the tab of trainers."""

import gradio as gr

from modules import script_callbacks

HEARD: list = []


def before_token_counter(params: script_callbacks.BeforeTokenCounterParams):
    HEARD.append((params.prompt, params.steps, params.styles, params.is_positive))
    params.prompt = params.prompt.split("#")[0]


def before_reload():
    HEARD.append("reload")


def ui_train_tabs(params: script_callbacks.UiTrainTabParams):
    HEARD.append([getattr(one, "elem_id", None) for one in params.txt2img_preview_params])
    with gr.Tab(label="Page talk"):
        gr.Textbox(label="Words to learn", elem_id="page_talk_words")


script_callbacks.on_before_token_counter(before_token_counter)
script_callbacks.on_before_reload(before_reload)
script_callbacks.on_ui_train_tabs(ui_train_tabs)
