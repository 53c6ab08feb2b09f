"""A1111's `modules.txt2img`."""

from modules.compat.generation import txt2img, txt2img_create_processing

__all__ = ["txt2img", "txt2img_create_processing"]
