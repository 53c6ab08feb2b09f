"""Scripts: accordions of those that are switched on, the drop-down, and the controls of the one that is chosen there.

All controls are made from what scripts declare.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest
from modules.domain.request import ScriptCall
from modules.domain.scripts import ARGUMENTS, Argument, read_script
from modules.extending.script import ENABLED, Offer, OwnControls, Panel, Script, SelectableScript
from modules.extending.scripts import AnyScript, Scripts, parameters, read_arguments
from modules.web.rest.script_list import lists_of as named_lists
from modules.web.rest.script_list import offer_of
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls, parameter_control
from modules.web.ui.tabs.switched import switched
from modules.web.ui.tabs.tab import QUIET
from modules.web.ui.values import CHOSEN, IMG2IMG, SCRIPT, script_control

logger = logging.getLogger(__name__)

NONE = "None"
SCRIPTS: Mapping[str, Mapping[str, tuple[Argument, ...]]] = {IMG2IMG: ARGUMENTS}
"""Tab -> title in small letters -> arguments."""


def script_controls(context: UiContext, controls: Controls) -> Mapping[str, Any]:
    """Build the scripts of a tab; values of accordions are among the controls of the tab.

    Returns:
        `script_inputs`: the drop-down, then all controls of what it offers, in that order; `script_names`: the names
        under which a pasted text has values for the first of them.
    """
    tab, scripts = controls.tab, context.services.scripts
    found, own = SCRIPTS.get(tab, {}), scripts.selectable(tab)
    with gr.Column(elem_id=f"{tab}_script_container", elem_classes=["scripts"]):
        for script in scripts.always(tab):
            _guarded(context, controls, script)
        for name, control in scripts.build_always(tab):
            controls.keep(f"{SCRIPT}/{name}", control)
        more = list(scripts.build_selectable(tab))
        titles = [*((title_of(name), name) for name in found), *((one.label, one.label.lower()) for one in own)]
        titles += [(title, title.lower()) for title, _ in more]
        chosen = gr.Dropdown([(NONE, NONE), *titles], value=NONE, label="Script", elem_id="script_list")
        groups: list[Any] = []
        made: list[Any] = []
        names: list[str] = [CHOSEN]
        for name, arguments in found.items():
            with gr.Column(visible=False, elem_id=f"script_{_plain(name)}") as group:
                made += [_control(name, one) for one in arguments if one.elem_id]
            names += [script_control(name, one.elem_id) for one in arguments if one.elem_id]
            groups.append(group)
        for script in own:
            with gr.Column(visible=False, elem_id=_element(script, tab)) as group:
                controls_of = _own(context, script, tab)
            made += list(controls_of.values())
            names += [script_control(script.id, name) for name in controls_of]
            groups.append(group)
        for _, build in more:
            with gr.Column(visible=False) as group:
                made += build()
            groups.append(group)
    visible = ", ".join(f"{{ __type__: 'update', visible: chosen === {json.dumps(name)} }}" for _, name in titles)
    chosen.change(None, [chosen], groups, js=f"(chosen) => [{visible}]", **QUIET)
    return {"script_inputs": [chosen, *made], "script_names": names}


def _guarded(context: UiContext, controls: Controls, script: Script) -> None:
    """Build an always-on script; one that cannot be built is left out of the page and still works over the API."""
    try:
        _accordion(context, controls, script)
    except Exception:
        logger.exception("the controls of the script %s could not be built", script.label)


def _accordion(context: UiContext, controls: Controls, script: Script) -> None:
    """Build an always-on script: on while its accordion is open, where it has a switch."""
    tab, switch = controls.tab, script_control(script.id, ENABLED)
    if ENABLED in parameters(script.Params):
        around: Any = switched(controls, switch, script.label, _element(script, tab))
    else:
        around = gr.Accordion(script.label, open=False, elem_id=_element(script, tab))
    with around:
        for name, control in _parameters(context, script, tab, without=(ENABLED,)).items():
            controls.keep(script_control(script.id, name), control)


def _parameters(context: UiContext, script: AnyScript, tab: str, without: Sequence[str] = ()) -> dict[str, Any]:
    """Build the controls of a script's parameters."""
    lists = _lists(context)
    return {
        name: parameter_control(item, _element(script, tab), lists, info=item.param.help or None)
        for name, item in parameters(script.Params).items()
        if name not in without
    }


def _own(context: UiContext, script: SelectableScript, tab: str) -> Mapping[str, Any]:
    """Build the controls of a script of the drop-down, by the names of its parameters in their order."""
    if not isinstance(script, OwnControls):
        return _parameters(context, script, tab)
    made: dict[str, Any] = {}

    def control(name: str, **more: Any) -> Any:
        item = parameters(script.Params)[name]
        return keep(name, parameter_control(item, _element(script, tab), _lists(context), **more))

    def keep(name: str, component: Any) -> Any:
        made[name] = component
        return component

    def offer() -> Offer:
        return offer_of(context.services, tab, _lists(context))

    script.build(Panel(offer=offer, element=_element(script, tab), control=control, keep=keep))
    return {name: made[name] for name in parameters(script.Params)}


def _lists(context: UiContext) -> Mapping[str, Sequence[str]]:
    """Return the lists that choices of parameters may name."""
    return {**named_lists(context.services), **lists_of(context.services)}


def _element(script: AnyScript, tab: str) -> str:
    """Return the element id of a script; those of both tabs have the tab in it."""
    return f"script_{tab}_{script.id}" if len(script.tabs) > 1 else f"script_{script.id}"


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


def script_of(tab: str, sent: Sequence[Any], scripts: Scripts | None = None) -> ScriptCall | None:
    """Make the call of the script that is chosen.

    Args:
        tab: whose script it is.
        sent: raw values of `script_inputs`.
        scripts: those of extensions.

    Raises:
        InvalidRequest: no such script, or an argument it cannot take.
    """
    chosen, *values = sent
    if chosen in (None, NONE):
        return None
    given = iter(values)
    for name, arguments in SCRIPTS.get(tab, {}).items():
        args = tuple(next(given, None) if one.elem_id else one.default for one in arguments)
        if name == chosen:
            call = ScriptCall(
                name=title_of(name), args=tuple(tuple(arg) if isinstance(arg, list) else arg for arg in args)
            )
            read_script(call)
            return call
    for script in scripts.selectable(tab) if scripts else ():
        args = tuple(next(given, None) for _ in parameters(script.Params))
        if script.label.lower() == chosen:
            call = ScriptCall(
                name=script.label, args=tuple(tuple(arg) if isinstance(arg, list) else arg for arg in args)
            )
            read_arguments(script, call.args, "script_args")
            return call
    for title, count in scripts.counts(tab) if scripts else ():
        args = tuple(next(given, None) for _ in range(count))
        if scripts and title.lower() == chosen:
            return ScriptCall(name=title, args=scripts.given(tab, title, args))
    raise InvalidRequest(f"Script {str(chosen)[:200]!r} not found", field="script_name")
