"""A1111's `scripts/xyz_grid.py`, as far as extensions look at it: they find it in `scripts_data` by this name."""

from typing import Any

from modules.compat.host import facade as _facade
from modules.compat.scripts import Script as _Script
from modules.compat.xyz import (
    AxisOption,
    AxisOptionImg2Img,
    AxisOptionTxt2Img,
    apply_checkpoint,
    apply_field,
    apply_override,
    apply_prompt,
    apply_size,
    apply_styles,
    boolean_choice,
    confirm_checkpoints,
    confirm_checkpoints_or_none,
    confirm_range,
    confirm_samplers,
    csv_string_to_list_strip,
    do_nothing,
    format_nothing,
    format_remove_path,
    format_value,
    format_value_add_label,
    format_value_join_list,
    own_options,
    str_permutations,
)

__all__ = [
    "AxisOption", "AxisOptionImg2Img", "AxisOptionTxt2Img", "Script", "apply_checkpoint", "apply_field",
    "apply_override", "apply_prompt", "apply_size", "apply_styles", "axis_options", "boolean_choice",
    "confirm_checkpoints", "confirm_checkpoints_or_none", "confirm_range", "confirm_samplers",
    "csv_string_to_list_strip", "do_nothing", "format_nothing", "format_remove_path", "format_value",
    "format_value_add_label", "format_value_join_list", "process_images", "str_permutations",
]  # fmt: skip

axis_options = own_options()
own_labels = frozenset(option.label for option in axis_options)


def process_images(p: Any) -> Any:
    """Make the pictures of a `p`. The plot makes those of its cells without it, so what wraps it is not asked."""
    return _facade("processing").process_images(p)


class Script(_Script):
    """Stands for the plot, which the program offers itself."""

    def title(self) -> str:
        """Return what the plot is called."""
        return "X/Y/Z plot"

    def show(self, is_img2img: bool) -> Any:
        """Leave the drop-down to the program."""
        return False
