"""A1111's `modules.modelloader`."""

from modules.compat.downloads import friendly_name, load_file_from_url, load_models
from modules.compat.upscalers import load_upscalers

__all__ = ["friendly_name", "load_file_from_url", "load_models", "load_upscalers"]
