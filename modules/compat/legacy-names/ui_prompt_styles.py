"""A1111's `modules.ui_prompt_styles`."""

from modules.compat.styles import materialize_styles

__all__ = ["materialize_styles"]

styles_edit_symbol = "\U0001f58c\ufe0f"
styles_materialize_symbol = "\U0001f4cb"
styles_copy_symbol = "\U0001f4dd"
