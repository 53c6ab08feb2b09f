"""Values that older versions of gradio let pass and this one refuses: outside of lists and ranges, of another type."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from modules.compat.serving import mark_patched, was_patched

MARK = "_takes_old_values"


def mark_lenient(component: Any) -> None:
    """Let a component of an extension take what older versions took."""
    setattr(component, MARK, True)


def is_lenient(component: Any) -> bool:
    """Tell whether a component is one of an extension's."""
    return getattr(component, MARK, False)


def with_range(arguments: Sequence[Any], given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a slider with room between its ends; older versions let them be equal."""
    ends = dict(zip(("minimum", "maximum"), arguments, strict=False)) | dict(given)
    low, high = ends.get("minimum", 0), ends.get("maximum", 100)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or high > low:
        return tuple(arguments), dict(given)
    room = low + (given.get("step") or 1)
    return (*arguments[:1], *((room,) if len(arguments) > 1 else ()), *arguments[2:]), {
        **given, **({} if len(arguments) > 1 else {"maximum": room}),
    }  # fmt: skip


def begin_with_old_default(component: Any, given: Mapping[str, Any]) -> None:
    """Let a component begin with the value of older versions: texts were empty, and a state was made at once.

    Args:
        component: was just made.
        given: its keywords.
    """
    import gradio as gr

    if isinstance(component, gr.Textbox | gr.HTML | gr.Markdown) and component.value is None and "value" not in given:
        component.value = ""
    elif isinstance(component, gr.State) and callable(component.value):
        component.value = component.value()


def wrap_values(gr: Any) -> None:
    """Make the checks of values those of older versions, for marked components."""
    for cls in (gr.Dropdown, gr.Radio, gr.CheckboxGroup):
        _wrap(cls, _chosen)
    for cls in (gr.Slider, gr.Number):
        _wrap(cls, _number)


def _wrap(cls: Any, lenient: Any) -> None:
    original = cls.preprocess
    if was_patched(original):
        return

    @functools.wraps(original)
    def preprocess(self: Any, payload: Any) -> Any:
        return lenient(self, payload, original) if is_lenient(self) else original(self, payload)

    mark_patched(preprocess)
    cls.preprocess = preprocess


def _chosen(self: Any, payload: Any, original: Any) -> Any:
    """Return what is chosen, in the list or not; its place in it where that is asked for."""
    if payload is None:
        return [] if type(self).__name__ == "CheckboxGroup" else None
    offered = [value for _, value in self.choices]
    several = payload if isinstance(payload, list) else [payload]
    if all(one in offered for one in several):
        return original(self, payload)
    if self.type != "index":
        return payload
    places = [offered.index(one) if one in offered else None for one in several]
    return places if isinstance(payload, list) else places[0]


def _number(self: Any, payload: Any, _original: Any) -> Any:
    """Return a number; texts that are numbers count, and none is held to the range."""
    if payload is None or payload == "":
        return None
    number = float(payload) if isinstance(payload, str) else payload
    precision = getattr(self, "precision", None)
    if isinstance(number, float) and number.is_integer() and _whole(self, precision):
        return int(number)
    return number if precision is None else self.round_to_precision(number, precision)


def _whole(self: Any, precision: Any) -> bool:
    step = getattr(self, "step", None)
    return precision == 0 or (isinstance(step, int | float) and float(step).is_integer() and precision is None)
