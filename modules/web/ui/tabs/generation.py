"""What txt2img and img2img have in common: prompts, buttons, sampler, seeds, results. Each builds a part of a tab."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from modules.web.ui.choices import NO_CHECKPOINT
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.results import Shown
from modules.web.ui.tabs.gallery import tools
from modules.web.ui.tabs.send_to import GALLERY_TARGETS, send_buttons
from modules.web.ui.tabs.switched import switched
from modules.web.ui.tabs.tab import tool
from modules.web.ui.values import ENABLE_REFINER, OVERRIDES, SUBSEED_SHOW, TXT2IMG

PROGRESS = (
    '<div class="progress-track" hidden><div class="progress-bar"></div><span class="progress-text"></span></div>'
)
PREVIEW = '<img alt="Live preview" hidden>'
"""Filled by `assets/view.js`."""
REFINER_SWITCH = 0.8

Parts = Mapping[str, Any]


def in_order(blocks: Mapping[str, Callable[[], Parts | None]], first: Sequence[str]) -> Parts:
    """Build groups of controls, those that the owner names first.

    Args:
        blocks: builders by name, in their usual order.
        first: names; others than those of `blocks` are left out.

    Returns:
        What all of them return.
    """
    names = dict.fromkeys([*(name for name in first if name in blocks), *blocks])
    return {name: part for block in names for name, part in (blocks[block]() or {}).items()}


def top(controls: Controls) -> Parts:
    """Build the prompts and the buttons beside them."""
    with gr.Row(elem_id=f"{controls.tab}_toprow", elem_classes=["toprow"]):
        _prompts(controls)
        return _actions(controls)


def _prompts(controls: Controls) -> None:
    tab = controls.tab
    with gr.Column(elem_id=f"{tab}_prompt_container", elem_classes=["prompt-container"], scale=6, min_width=320):
        for name, words, counter, row in (
            ("prompt", "Prompt\n(Ctrl+Enter generates, Alt+Enter skips, Esc interrupts)", "token_counter", "prompt_row"),
            ("negative_prompt", "Negative prompt\n(what should not be in the picture)", "negative_token_counter", "neg_prompt_row"),
        ):  # fmt: skip
            with gr.Column(elem_id=f"{tab}_{row}", elem_classes=["prompt-row"]):
                controls.add(name, lines=3, max_lines=20, placeholder=words, show_label=False, container=False)
                gr.HTML('<span class="count">0/75</span>', elem_id=f"{tab}_{counter}", elem_classes=["token-counter"])


def _actions(controls: Controls) -> Parts:
    tab = controls.tab
    with gr.Column(elem_id=f"{tab}_actions_column", elem_classes=["actions-column"], scale=1, min_width=220):
        with gr.Row(elem_id=f"{tab}_generate_box", elem_classes=["generate-box"]):
            generate = gr.Button("Generate", variant="primary", elem_id=f"{tab}_generate")
            interrupt = gr.Button("Interrupt", elem_id=f"{tab}_interrupt", elem_classes=["while-running"], min_width=0)
            skip = gr.Button("Skip", elem_id=f"{tab}_skip", elem_classes=["while-running"], min_width=0)
        with gr.Row(elem_id=f"{tab}_tools", elem_classes=["tools"]):
            found = {
                "paste": tool("↙", "paste" if tab == TXT2IMG else f"{tab}_paste"),
                "clear": tool("✕", f"{tab}_clear_prompt"),
                "apply_styles": tool("⇐", f"{tab}_style_apply"),
                "restore": tool("⟲", f"{tab}_restore_progress"),
            }
        with gr.Row(elem_id=f"{tab}_styles_row", elem_classes=["styles-row"]):
            controls.add("styles", show_label=False, container=False)
            found["edit_styles"] = tool("✎", f"{tab}_styles_edit_button")
        # Pictures dropped on the prompt arrive here.
        dropped = gr.File(visible="hidden", file_types=["image"], elem_id=f"{tab}_prompt_image", type="filepath")
    return found | {"generate": generate, "interrupt": interrupt, "skip": skip, "dropped": dropped}


def sampling(controls: Controls) -> None:
    """Build sampler, schedule and steps."""
    with gr.Row(elem_id=f"sampler_selection_{controls.tab}"):
        controls.add("sampler_name", scale=2, min_width=140)
        controls.add("scheduler", scale=2, min_width=140)
    with gr.Row():
        controls.add("steps")


def size(controls: Controls, *, detect: bool = False) -> Parts:
    """Build width, height, the button that swaps them and, where wanted, the one that takes them from a picture."""
    tab = controls.tab
    with gr.Column(elem_id=f"{tab}_column_size", scale=4, min_width=160):
        controls.add("width")
        controls.add("height")
    with gr.Column(elem_id=f"{tab}_dimensions_row", elem_classes=["dimensions-tools"], scale=0, min_width=44):
        swap = {"swap": tool("⇅", f"{tab}_res_switch_btn")}
        return swap | ({"detect": tool("⊡", f"{tab}_detect_image_size_btn")} if detect else {})


def batch(controls: Controls) -> None:
    """Build the numbers of pictures."""
    with gr.Column(elem_id=f"{controls.tab}_column_batch", scale=3, min_width=140):
        controls.add("n_iter")
        controls.add("batch_size")


def seeds(controls: Controls) -> Parts:
    """Build the seed and, behind a box, what varies it."""
    tab = controls.tab
    with gr.Row(elem_id=f"{tab}_seed_row", elem_classes=["seed-row"]):
        controls.add("seed", scale=4, min_width=100)
        random_seed, reuse_seed = tool("⚄", f"{tab}_random_seed"), tool("♻", f"{tab}_reuse_seed")
        box = gr.Checkbox(label="Extra", elem_id=f"{tab}_subseed_show", container=False, scale=0, min_width=80)
        controls.keep(SUBSEED_SHOW, box)
    with gr.Column(visible=False, elem_id=f"{tab}_seed_extras") as extras:
        with gr.Row(elem_id=f"{tab}_subseed_row", elem_classes=["seed-row"]):
            controls.add("subseed", scale=4, min_width=100)
            random_subseed, reuse_subseed = tool("⚄", f"{tab}_random_subseed"), tool("♻", f"{tab}_reuse_subseed")
            controls.add("subseed_strength", scale=4, min_width=140)
        with gr.Row():
            controls.add("seed_resize_from_w")
            controls.add("seed_resize_from_h")
    return {
        "random_seed": random_seed, "reuse_seed": reuse_seed, "random_subseed": random_subseed,
        "reuse_subseed": reuse_subseed, "extras": extras,
    }  # fmt: skip


def refiner(controls: Controls) -> None:
    """Build the second half of a run by another checkpoint."""
    with switched(controls, ENABLE_REFINER, "Refiner", f"{controls.tab}_enable"), gr.Row():
        controls.add("refiner_checkpoint", value=NO_CHECKPOINT)
        controls.add("refiner_switch_at", value=REFINER_SWITCH)


def preset(tab: str) -> Parts:
    """Build what keeps the values of this moment for the checkpoint in use."""
    with gr.Row(elem_id=f"{tab}_preset_row", elem_classes=["preset-row"]):
        save = gr.Button("Save for this checkpoint", size="sm", min_width=190, elem_id=f"{tab}_preset_save")
        forget = gr.Button("Forget", size="sm", min_width=60, elem_id=f"{tab}_preset_forget")
        note = gr.HTML("", elem_id=f"{tab}_preset_note", elem_classes=["preset-note"])
    return {"preset_save": save, "preset_forget": forget, "preset_note": note}


def overrides(controls: Controls) -> None:
    """Build the settings for one run, which a paste fills."""
    tab = controls.tab
    with gr.Row(elem_id=f"{tab}_override_settings_row"):
        controls.keep(
            OVERRIDES,
            gr.Dropdown(
                label="Override settings", choices=[], value=[], multiselect=True, allow_custom_value=True,
                visible=False, elem_id=f"{tab}_override_settings",
            ),
        )  # fmt: skip


def results(context: UiContext, tab: str) -> Parts:
    """Build progress, gallery and the words below it."""
    gr.HTML(PROGRESS, elem_id=f"{tab}_progress", elem_classes=["progress"], apply_default_css=False)
    with gr.Column(elem_id=f"{tab}_gallery_container", elem_classes=["gallery-container"]):
        gr.HTML(PREVIEW, elem_id=f"{tab}_live_preview", elem_classes=["live-preview"], apply_default_css=False)
        gallery = gr.Gallery(
            label="Output", show_label=False, elem_id=f"{tab}_gallery", columns=4, preview=True, object_fit="contain",
            height="auto", interactive=False, buttons=["download", "fullscreen"],
        )  # fmt: skip
    with gr.Row(elem_id=f"image_buttons_{tab}", elem_classes=["send-row"]):
        keep = tools(context, tab)
        send = send_buttons(GALLERY_TARGETS[tab], tab + "_send_to_{}")
        more = (
            {}
            if tab != TXT2IMG
            else {"upscale": gr.Button("Upscale", size="sm", min_width=90, elem_id=f"{tab}_upscale")}
        )
    with gr.Column(elem_id=f"{tab}_results_panel", elem_classes=["results-panel"]):
        info = gr.HTML("", elem_id=f"html_info_{tab}", elem_classes=["infotext"])
        log = gr.HTML("", elem_id=f"html_log_{tab}", elem_classes=["html-log"])
    return {
        **more, **keep, "send": send, "send_log": log, "sent": gr.Textbox(visible="hidden", elem_id=f"{tab}_sent"),
        "gallery": gallery, "info": info, "log": log, "shown": gr.State(Shown()), "selected": gr.State(0),
        "job": gr.Textbox(visible="hidden", elem_id=f"{tab}_job"),
        "show_request": gr.Textbox(visible="hidden", elem_id=f"{tab}_show_request"),
        "show": gr.Button("Show", visible="hidden", elem_id=f"{tab}_show"),
    }  # fmt: skip
