"""Build the controls of A1111's scripts, and keep the one flat list that their values come from."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import host
from modules.compat.old_gradio import serving_old_idioms
from modules.compat.scripts import ScriptRunner
from modules.extending.script import IMG2IMG

logger = logging.getLogger(__name__)

PROMPTS = ("prompt", "neg_prompt")
BUTTONS = ("generate", "interrupt", "skip")
SLIDERS = ("width", "height", "steps", "cfg_scale", "batch_count", "batch_size")
"""Controls of the program that scripts look for, by the end of their element ids."""


def build_apart(tab: str) -> None:
    """Build the controls of a tab that nobody shows, so that their defaults are known."""

    def build() -> None:
        with watching(tab) as runner:
            _stand_ins(tab)
            for script in (*runner.alwayson_scripts, *runner.selectable_scripts):
                build_one(runner, script)

    apart(build)


def apart(make: Callable[[], object]) -> None:
    """Build controls that nobody shows."""
    import gradio as gr

    from modules.web.ui.loops import make_no_loops

    make_no_loops()
    with host().building, gr.Blocks():
        make()


def _stand_ins(tab: str) -> None:
    """Build what scripts look for in a tab: they put their own controls beside these, or change them."""
    import gradio as gr

    with gr.Row(elem_id=f"{tab}_prompt_row"):
        for name in PROMPTS:
            gr.Textbox(elem_id=f"{tab}_{name}")
    for name in BUTTONS:
        gr.Button(elem_id=f"{tab}_{name}")
    for name in SLIDERS:
        gr.Slider(elem_id=f"{tab}_{name}")


@contextmanager
def watching(tab: str) -> Iterator[ScriptRunner]:
    """Make new objects of all scripts of a tab, and let them see each component that is built meanwhile."""
    book = host().scripts
    runner = book.runner(tab)
    with serving_old_idioms():
        runner.initialize_scripts(tab == IMG2IMG)
    runner.titles = ["None", *(_title(one) for one in runner.selectable_scripts)]
    book.current = runner
    try:
        yield runner
    finally:
        book.current = None


def build_one(runner: ScriptRunner, script: Any) -> None:
    """Build the controls of one script; one that fails has none and is left out."""
    import gradio as gr

    script.args_from = script.args_to = len(runner.inputs)
    with guarded(f"{_title(script)}: ui"), serving_old_idioms():
        script.name = _title(script).lower()
        with gr.Column(elem_id=f"script_group_{script.tabname}_{len(runner.inputs)}") as group:
            made = list(_components(script.ui(script.is_img2img)))
        script.group, script.controls = group, made
        for control in made:
            control.custom_script_source = script.filename or ""
        runner.inputs += made
        script.args_to = len(runner.inputs)
        if script.infotext_fields:
            runner.infotext_fields += script.infotext_fields
        if script.paste_field_names:
            runner.paste_field_names += script.paste_field_names


def _components(found: Any) -> Iterable[Any]:
    if found is None:
        return ()
    return found if isinstance(found, list | tuple) else (found,)


def _title(script: Any) -> str:
    try:
        return str(script.title())
    except Exception as error:
        logger.error("%s has no title", type(script).__name__, exc_info=error)
        return type(script).__name__
