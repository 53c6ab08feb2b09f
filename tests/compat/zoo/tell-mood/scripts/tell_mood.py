import gradio as gr

from modules import script_callbacks, scripts, shared
from modules.shared import OptionInfo, opts


class TellMood(scripts.Script):
    def title(self):
        return "Tell Mood"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with gr.Accordion("Tell Mood", open=False):
            enabled = gr.Checkbox(False, label="Enable", elem_id=self.elem_id("enabled"))
            mood = gr.Dropdown(["calm", "wild"], value="calm", label="Mood", elem_id=self.elem_id("mood"))
            strength = gr.Slider(0, 2, step=0.1, value=1.0, label="Strength", elem_id=self.elem_id("strength"))
        self.infotext_fields = [(enabled, lambda d: "Mood" in d), (mood, "Mood"), (strength, "Mood strength")]
        self.paste_field_names = ["mood"]
        return [enabled, mood, strength]

    def process(self, p, enabled, mood, strength):
        if not enabled:
            return
        p.extra_generation_params["Mood"] = mood
        p.extra_generation_params["Mood strength"] = strength
        p.all_prompts = [f"{text}, {mood}" for text in p.all_prompts]
        if getattr(opts, "mood_shouts", False):
            p.all_prompts = [text.upper() for text in p.all_prompts]


def on_ui_settings():
    section = ("mood", "Mood")
    shared.opts.add_option(
        "mood_shouts", OptionInfo(False, "Shout the mood", gr.Checkbox, {"interactive": True}, section=section)
    )
    shared.opts.add_option(
        "mood_default",
        shared.OptionInfo("calm", "Mood at start", gr.Dropdown, lambda: {"choices": ["calm", "wild"]}, section=section),
    )


script_callbacks.on_ui_settings(on_ui_settings)
