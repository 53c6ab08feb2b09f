"""Adds axes to the X/Y/Z plot, in the ways in which extensions do."""

from modules import script_callbacks, scripts, shared


def find_plot():
    for data in scripts.scripts_data:
        if data.script_class.__module__ in ("xyz_grid.py", "scripts.xyz_grid"):
            return data.module
    return None


def add_word(p, x, xs):
    p._more_words = [*getattr(p, "_more_words", []), f"{x} of {len(xs)}"]


def switch_setting(p, x, xs):
    shared.opts.CLIP_stop_at_last_layers = x


def confirm_words(p, xs):
    for x in xs:
        if x == "forbidden":
            raise RuntimeError(f"Unknown word: {x}, while making {p.steps} steps")


def fail(p, x, xs):
    raise ZeroDivisionError("this axis never works")


def add_axes():
    plot = find_plot()
    if plot is None or any(option.label.startswith("[More]") for option in plot.axis_options):
        return
    assert callable(plot.process_images)
    plot.axis_options.extend(
        [
            plot.AxisOption("[More] Word", str, add_word, confirm=confirm_words, choices=lambda: ["small", "tall"]),
            plot.AxisOption("[More] Steps", int, plot.apply_field("steps"), format_value=plot.format_value, cost=0.5),
            plot.AxisOption("[More] RNG", str, plot.apply_override("randn_source")),
            plot.AxisOptionImg2Img("[More] Strength", float, plot.apply_field("denoising_strength")),
            plot.AxisOptionTxt2Img("[More] Clip", int, switch_setting),
            plot.AxisOption("[More] Fails", str, fail),
            plot.AxisOption("[More] Lines", str, add_word, prepare=lambda text: text.split("/")),
        ]
    )


class MoreAxes(scripts.Script):
    def title(self):
        return "More axes"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def process(self, p):
        words = getattr(p, "_more_words", None)
        if words:
            p.all_prompts = [f"{text}, {', '.join(words)}" for text in p.all_prompts]
            p.extra_generation_params["More words"] = "; ".join(words)


script_callbacks.on_before_ui(add_axes)
