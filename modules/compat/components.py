"""`modules.ui_components`: controls that A1111 adds to gradio's."""

from typing import Any

import gradio as gr

from modules.compat.old_gradio import write_no_stubs

# Before the classes, since gradio writes a file beside the source of each class that derives from a component.
write_no_stubs()


class FormComponent:
    """Marks what fits into a form."""

    def get_expected_parent(self) -> Any:
        """Return what it lies in."""
        return gr.Group


class ToolButton(gr.Button):
    """A small button with a picture on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.tooltip = kwargs.pop("tooltip", None)
        given: Any = kwargs.pop("elem_classes", None) or []
        classes: list[str] = [given] if isinstance(given, str) else list(given)
        super().__init__(*args, elem_classes=["tool", *classes], **kwargs)

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "button"


class ResizeHandleRow(gr.Row):
    """A row whose parts can be made wider."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.elem_classes = [*(self.elem_classes or ()), "resize-handle-row"]

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "row"


class FormRow(gr.Row):
    """A row in a form."""

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "row"


class FormColumn(gr.Column):
    """A column in a form."""

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "column"


class FormGroup(gr.Group):
    """A group in a form."""

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "group"


class FormHTML(gr.HTML):
    """Markup in a form."""

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "html"


class FormColorPicker(gr.ColorPicker):
    """A colour in a form."""

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "colorpicker"


class DropdownMulti(gr.Dropdown):
    """A list of which several may be chosen."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"multiselect": True, **kwargs})

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "dropdown"


class DropdownEditable(gr.Dropdown):
    """A list whose texts may be others than those offered."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_custom_value": True, **kwargs})

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "dropdown"


class InputAccordion(gr.Checkbox):
    """An accordion that is a value: whether it is open. Use it as a context for what lies inside."""

    def __init__(self, value: bool = False, **kwargs: Any) -> None:
        label, self.accordion_id = kwargs.pop("label", ""), kwargs.get("elem_id") or f"input-accordion-{id(self)}"
        opened = kwargs.pop("open", value)
        for name in ("variant", "elem_classes"):
            kwargs.pop(name, None)
        visible = kwargs.pop("visible", True)
        super().__init__(
            value=value, label=label, elem_id=f"{self.accordion_id}-checkbox", elem_classes=["input-accordion-checkbox"],
            visible=visible, container=False,
        )  # fmt: skip
        self.accordion = gr.Accordion(
            label=label, open=opened, elem_id=self.accordion_id, elem_classes=["input-accordion"], visible=visible
        )
        self.accordion_id = self.accordion.elem_id
        # The box and the accordion follow each other, on the page alone.
        self.accordion.expand(None, None, [self], js="() => true", show_progress="hidden")
        self.accordion.collapse(None, None, [self], js="() => false", show_progress="hidden")
        self.change(
            None, [self], [self.accordion], js="(open) => ({ __type__: 'update', open })", show_progress="hidden"
        )

    def extra(self) -> gr.Row:
        """Return a row for controls in the header."""
        with self.accordion:
            return gr.Row(elem_id=f"{self.accordion_id}-extra", elem_classes=["input-accordion-extra"])

    def __enter__(self) -> "InputAccordion":
        self.accordion.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the context."""
        self.accordion.__exit__(*error)

    def get_block_name(self) -> str:
        """Return the name of the front end's part."""
        return "checkbox"
