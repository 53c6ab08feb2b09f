"""Components of gradio 3 that are gone: drawing on pictures, groups with a border, modules of inputs and outputs."""

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from modules.compat.old_keywords import keywords_of, translated

DRAWING_TOOLS = frozenset({"sketch", "color-sketch"})
CANVAS = (512, 512)
OLD_CLASSES = (
    "Textbox", "Number", "Slider", "Checkbox", "CheckboxGroup", "Radio", "Dropdown", "Image", "File", "HTML", "JSON",
    "Label", "Video", "Audio",
)  # fmt: skip


def add_old_names(gr: Any) -> None:
    """Add classes and modules that are gone to gradio."""
    from gradio import components, events

    gr.Box, gr.Variable = box_class(gr), gr.State
    gr.Sketch = sketch_class(gr)
    gr.Image.__new__ = _drawn_or_shown(gr.Image, gr.Sketch)
    if not hasattr(components, "Form"):
        components.Form = gr.Group  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("IOComponent", "FormComponent"):
        if not hasattr(components, name):
            setattr(components, name, components.Component)
    for name in ("inputs", "outputs"):
        module = ModuleType(f"gradio.{name}")
        for cls in OLD_CLASSES:
            setattr(module, cls, getattr(gr, cls))
        setattr(gr, name, module)
        sys.modules.setdefault(f"gradio.{name}", module)
    for name, event in MIXINS.items():
        if not hasattr(events, name):
            setattr(events, name, mixin(name, event))


MIXINS: Mapping[str, str] = {
    "Changeable": "change", "Clickable": "click", "Submittable": "submit", "Editable": "edit", "Clearable": "clear",
    "Playable": "play", "Streamable": "stream", "Blurrable": "blur", "Uploadable": "upload", "Releaseable": "release",
    "Selectable": "select", "Inputable": "input", "Focusable": "focus",
}  # fmt: skip
"""Class that components with an event derived from -> that event."""


def mixin(name: str, event: str) -> type:
    """Make a class whose instances are all components with an event."""

    class HasEvent(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return any(str(one) == event for one in getattr(type(instance), "EVENTS", ()))

    return HasEvent(name, (), {})


def box_class(gr: Any) -> Any:
    """Make the class of groups with a border."""

    class Box(gr.Group):
        """A group with a border."""

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.elem_classes = [*(self.elem_classes or ()), "gr-box", "gradio-box"]

        def get_block_name(self) -> str:
            """Return the name of the front end's part."""
            return "group"

    return Box


def _drawn_or_shown(image: Any, sketch: Any) -> Callable[..., Any]:
    from modules.compat.serving import is_serving

    def new(cls: Any, *arguments: Any, **given: Any) -> Any:
        """Make an image component, or what draws on pictures where that is asked for."""
        if cls is image and is_serving() and given.get("tool") in DRAWING_TOOLS:
            return sketch(*arguments, **given)
        return object.__new__(cls)

    return new


def sketch_class(gr: Any) -> Any:
    """Make the class of pictures that are drawn on; handlers get the picture and the mask, as gradio 3 gave them."""
    from modules.compat.drawn import as_editor_value, as_handed, brush_of

    known, takes_all = keywords_of(gr.ImageEditor.__init__)

    class Sketch(gr.ImageEditor):
        """A picture, and what is drawn on it."""

        def __init__(self, value: Any = None, **given: Any) -> None:
            self.tool, self.source = given.get("tool", "sketch"), given.get("source", "upload")
            self.shape, self.handed = given.get("shape"), given.get("type", "numpy")
            self.invert_colors = bool(given.get("invert_colors"))
            mode = given.get("image_mode") or "RGB"
            wanted = {
                "brush": brush_of(gr, self.tool, given),
                "layers": False,
                "transforms": (),
                "format": "png",
                **given,
            }
            if self.source == "canvas":
                wanted.update(sources=(), canvas_size=tuple(self.shape or CANVAS), fixed_canvas=True)
            wanted = translated(gr.ImageEditor, {**wanted, "type": "pil", "image_mode": "RGBA"}, known, takes_all)
            super().__init__(as_editor_value(value), **wanted)
            self.handed_mode = mode

        def get_block_name(self) -> str:
            """Return the name of the front end's part."""
            return "imageeditor"

        def preprocess(self, payload: Any) -> Any:
            """Return the picture and the mask, or the drawn picture alone where colours are drawn."""
            return as_handed(super().preprocess(payload), self)

        def postprocess(self, value: Any) -> Any:
            """Show a picture, or one with a mask."""
            return super().postprocess(as_editor_value(value))

    return Sketch
