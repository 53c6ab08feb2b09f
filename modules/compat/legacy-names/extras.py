"""A1111's `modules.extras`."""

from modules.compat.checkpoints import create_config
from modules.compat.panels import run_pnginfo

__all__ = ["create_config", "run_pnginfo"]
