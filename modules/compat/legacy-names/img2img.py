"""A1111's `modules.img2img`."""

from modules.compat.generation import img2img
from modules.compat.image_batches import process_batch

__all__ = ["img2img", "process_batch"]
