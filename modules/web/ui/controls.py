"""Controls from declarations: what a parameter says about itself decides how it is offered."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.domain.param import ParamPath
from modules.web.services import Services
from modules.web.ui.choices import WORDS
from modules.web.ui.settings_form import choices_of, describe_one
from modules.web.ui.values import PROMPTS, parameters


class Controls:
    """The controls of one tab, by the flat name that their values have in the API.

    Args:
        tab: begins each element id.
        choices: names of lists, as declarations use them, -> entries.
    """

    def __init__(self, tab: str, choices: Mapping[str, Sequence[str]]) -> None:
        self.tab = tab
        self._choices = choices
        self._made: dict[str, Component] = {}

    @property
    def made(self) -> Mapping[str, Component]:
        """All controls so far, in order."""
        return self._made

    def add(self, name: str, **more: Any) -> Component:
        """Make the control of a parameter here, that is, in gradio's current row or column."""
        item = parameters(self.tab)[name]
        return self.keep(name, parameter_control(item, self.tab, self._choices, **more))

    def keep(self, name: str, component: Component) -> Component:
        """Count a control that no parameter declares among the others."""
        self._made[name] = component
        return component

    def __getitem__(self, name: str) -> Component:
        return self._made[name]


def parameter_control(item: ParamPath, tab: str, lists: Mapping[str, Sequence[str]], **more: Any) -> Component:
    """Make the gradio component that suits a parameter of a request.

    Args:
        item: the parameter.
        tab: begins the element id where the declaration has only its end.
        lists: names of lists, or of parameters -> entries.
        **more: for the component; `value` replaces the declared default.
    """
    about, value = item.param, more.pop("value", item.default)
    suffix = about.elem_id or f"_{item.name}"
    common: dict[str, Any] = {
        "label": about.label, "elem_id": tab + suffix if suffix.startswith("_") else suffix, **more,
    }  # fmt: skip
    if item.name in PROMPTS:
        return gr.Textbox(value="", **common)
    if item.name in WORDS:
        values = [bool(at) if item.annotation is bool else at for at in range(len(WORDS[item.name]))]
        return gr.Radio(list(zip(WORDS[item.name], values, strict=True)), value=value, **common)
    offered = lists.get(item.name) or _offered(about.choices, lists)
    if item.annotation == tuple[str, ...]:
        return gr.Dropdown(choices=list(offered), value=list(value), multiselect=True, **common)
    if item.annotation is bool:
        return gr.Checkbox(value=bool(value), **common)
    if about.slider is not None:
        low, high = about.slider
        return gr.Slider(low, high, value=max(low, value), step=about.step or 0.01, **common)
    if offered:
        return gr.Dropdown(choices=list(offered), value=value if value in offered else offered[0], **common)
    if item.annotation is str:
        return gr.Textbox(value=value, **common)
    return gr.Number(value=value, precision=0 if item.annotation is int else None, **common)


def _offered(choices: str | tuple[str, ...] | None, lists: Mapping[str, Sequence[str]]) -> Sequence[str]:
    return lists[choices] if isinstance(choices, str) else choices or ()


def setting_control(item: ParamPath, value: Any, services: Services) -> Component:
    """Make the gradio component of a setting, for the top of the page."""
    about = describe_one(item, services)
    common: dict[str, Any] = {"label": about["label"], "elem_id": f"setting_{item.name}", "interactive": True}
    match about["kind"]:
        case "switch":
            return gr.Checkbox(value=value, **common)
        case "int" | "float" if about["slider"]:
            step = about["step"] or (1 if about["kind"] == "int" else 0.01)
            return gr.Slider(about["min"], about["max"], value=value, step=step, **common)
        case "int" | "float":
            return gr.Number(value=value, precision=0 if about["kind"] == "int" else None, **common)
        case "choice":
            return gr.Dropdown(choices=choices_of(item, services) or [], value=value, allow_custom_value=True, **common)
        case "list":
            return gr.Dropdown(
                choices=about["choices"] or [], value=value, multiselect=True, allow_custom_value=True, **common
            )
        case _:
            return gr.Textbox(value=value or "", **common)
