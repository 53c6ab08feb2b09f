"""A1111's `modules.images`."""

from modules.compat.file_names import FilenameGenerator
from modules.compat.pictures import (
    LANCZOS,
    NEAREST,
    GridAnnotation,
    draw_grid_annotations,
    flatten,
    get_next_sequence_number,
    image_grid,
    read_info_from_image,
    resize_image,
    sanitize_filename_part,
    save_image,
)

__all__ = [
    "LANCZOS", "NEAREST", "FilenameGenerator", "GridAnnotation", "draw_grid_annotations", "flatten", "get_next_sequence_number",
    "image_grid", "read_info_from_image", "resize_image", "sanitize_filename_part", "save_image",
]  # fmt: skip
