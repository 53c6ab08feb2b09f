"""The drop-down of scripts, and the controls of the one that is chosen: made from what scripts declare."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest
from modules.domain.request import ScriptCall
from modules.domain.scripts import ARGUMENTS, Argument, read_script
from modules.web.ui.tabs.tab import QUIET
from modules.web.ui.values import IMG2IMG

NONE = "None"
SCRIPTS: Mapping[str, Mapping[str, tuple[Argument, ...]]] = {IMG2IMG: ARGUMENTS}
"""Tab -> title in small letters -> arguments."""


def script_controls(tab: str) -> Mapping[str, Any]:
    """Build the drop-down of a tab and the controls of its scripts.

    Returns:
        `script_inputs`: the drop-down, then all controls in the order of `SCRIPTS`.
    """
    found = SCRIPTS[tab]
    with gr.Column(elem_id=f"{tab}_script_container", elem_classes=["scripts"]):
        titles = [(title_of(name), name) for name in found]
        chosen = gr.Dropdown([(NONE, NONE), *titles], value=NONE, label="Script", elem_id="script_list")
        groups: list[Any] = []
        made: list[Any] = []
        for name, arguments in found.items():
            with gr.Column(visible=False, elem_id=f"script_{_plain(name)}") as group:
                made += [_control(name, one) for one in arguments if one.elem_id]
            groups.append(group)
    visible = ", ".join(f"{{ __type__: 'update', visible: chosen === {name!r} }}" for name in found)
    chosen.change(None, [chosen], groups, js=f"(chosen) => [{visible}]", **QUIET)
    return {"script_inputs": [chosen, *made]}


def title_of(name: str) -> str:
    """Write the name of a script as A1111 shows it."""
    return name[:1].upper() + name[1:]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z_0-9]", "", name.lower().replace(" ", "_"))


def _control(script: str, one: Argument) -> Any:
    common: dict[str, Any] = {"label": one.label, "elem_id": f"script_{_plain(script)}_{one.elem_id}"}
    if one.choices is not None and isinstance(one.default, tuple):
        return gr.CheckboxGroup(list(one.choices), value=list(one.default), **common)
    if one.choices is not None:
        numbered = [(choice, number) for number, choice in enumerate(one.choices)]
        return gr.Radio(numbered, value=one.choices.index(one.default), **common)
    if isinstance(one.default, bool):
        return gr.Checkbox(one.default, **common)
    if one.minimum is not None and one.maximum is not None:
        return gr.Slider(one.minimum, one.maximum, value=one.default, step=one.step or 0.01, **common)
    return gr.Textbox(one.default or "", **common)


def script_of(tab: str, sent: Sequence[Any]) -> ScriptCall | None:
    """Make the call of the script that is chosen.

    Args:
        tab: whose script it is.
        sent: raw values of `script_inputs`.

    Raises:
        InvalidRequest: no such script, or an argument it cannot take.
    """
    chosen, *values = sent
    if chosen in (None, NONE):
        return None
    if chosen not in SCRIPTS[tab]:
        raise InvalidRequest(f"Script {str(chosen)[:200]!r} not found", field="script_name")
    given = iter(values)
    for name, arguments in SCRIPTS[tab].items():
        args = tuple(next(given, None) if one.elem_id else one.default for one in arguments)
        if name == chosen:
            call = ScriptCall(
                name=title_of(name), args=tuple(tuple(arg) if isinstance(arg, list) else arg for arg in args)
            )
            read_script(call)
            return call
    return None
