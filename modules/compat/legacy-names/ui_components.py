"""A1111's `modules.ui_components`."""

from modules.compat.components import (
    DropdownEditable,
    DropdownMulti,
    FormColorPicker,
    FormColumn,
    FormComponent,
    FormGroup,
    FormHTML,
    FormRow,
    InputAccordion,
    ResizeHandleRow,
    ToolButton,
)

__all__ = [
    "DropdownEditable", "DropdownMulti", "FormColorPicker", "FormColumn", "FormComponent", "FormGroup", "FormHTML",
    "FormRow", "InputAccordion", "ResizeHandleRow", "ToolButton",
]  # fmt: skip
