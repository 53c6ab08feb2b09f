"""`ui-config.json`: what controls begin with, and their ranges, by A1111's keys such as `txt2img/Width/value`."""

import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from modules.web.ui.json_file import read_object, write_object

OF_SCRIPTS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "sampler.py": ("sampler_name", "scheduler", "steps"),
    "seed.py": (
        "seed", "subseed", "subseed_strength", "seed_resize_from_w", "seed_resize_from_h", "subseed_show",
    ),
    "refiner.py": ("refiner_checkpoint", "refiner_switch_at"),
})  # fmt: skip
"""Controls that A1111 counts among those of its scripts, which shows in their keys."""
KINDS = (gr.Slider, gr.Checkbox, gr.Textbox, gr.Number, gr.Radio, gr.Dropdown)
NUMBERS = ("minimum", "maximum", "step")
LEFT_OUT = frozenset({"override_settings", "styles"})
"""Controls whose content belongs to a single run."""

Controls = Mapping[str, Component]


class UiConfig:
    """Reads the file once, gives its values to controls, and writes what is missing in it.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, Any] = {}

    def load(self) -> None:
        """Read the file anew."""
        self._known = read_object(self._path)

    def apply(self, tab: str, controls: Controls) -> None:
        """Give stored values to the controls of a tab; what cannot be used, such as a name no longer offered, is not."""
        for name, control in _covered(controls):
            for key in ("visible", *(NUMBERS if isinstance(control, gr.Slider) else ()), "value"):
                path = path_of(tab, name, control, key)
                if path not in self._known:
                    self._known[path] = (
                        _shown(control, getattr(control, key)) if key == "value" else _plain(control, key)
                    )
                else:
                    _set(control, key, self._known[path])

    def write(self, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Write the file, with new values for some of its keys, unless nothing in it would change.

        Raises:
            StorageFault: the disk refuses.
        """
        with self._lock:
            self._known |= values
            if read_object(self._path) != self._known:
                write_object(self._path, self._known)

    def changes(self, tab: str, controls: Controls, values: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
        """Return what differs from the file: key -> the value there and the one of this moment.

        Args:
            tab: id of the tab.
            controls: all of its controls.
            values: of all of them now.
        """
        now = dict(zip(controls, values, strict=True))
        found: dict[str, tuple[Any, Any]] = {}
        for name, control in _covered(controls):
            path, value = path_of(tab, name, control, "value"), _shown(control, now[name])
            if value is not None and _accepted(control, value) and self._known.get(path) != value:
                found[path] = (self._known.get(path), value)
        return found


def path_of(tab: str, name: str, control: Any, key: str) -> str:
    """Return the key of a property, as A1111 writes it."""
    script = next((file for file, names in OF_SCRIPTS.items() if name in names), None)
    prefix = f"customscript/{script}/" if script else ""
    return f"{prefix}{tab}/{control.label}/{key}"


def _covered(controls: Controls) -> list[tuple[str, Any]]:
    return [
        (name, one)
        for name, one in controls.items()
        if isinstance(one, KINDS) and one.label and name not in LEFT_OUT and not getattr(one, "multiselect", False)
    ]


def _plain(control: Any, key: str) -> Any:
    value = getattr(control, key)
    return bool(value) if key == "visible" else value


def _shown(control: Any, value: Any) -> Any:
    """Return a value as the file has it: entries of a list by what is read there."""
    if isinstance(control, gr.Radio):
        return next((label for label, one in control.choices if one == value), None)
    return value


def _meant(control: Any, value: Any) -> Any:
    if isinstance(control, gr.Radio):
        return next((one for label, one in control.choices if label == value), None)
    return value


def _accepted(control: Any, value: Any) -> bool:
    match control:
        case gr.Slider() | gr.Number():
            return _is_number(value)
        case gr.Checkbox():
            return isinstance(value, bool)
        case gr.Dropdown():
            return any(value == one for _, one in control.choices)
        case gr.Radio():
            return any(value == label for label, _ in control.choices)
        case _:
            return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _set(control: Any, key: str, value: Any) -> None:
    if key == "visible":
        if value is False:
            control.visible = False
    elif key in NUMBERS:
        if _is_number(value) and (key != "step" or value > 0):
            setattr(control, key, value)
    elif _accepted(control, value):
        meant = _meant(control, value)
        control.value = min(max(meant, control.minimum), control.maximum) if isinstance(control, gr.Slider) else meant
