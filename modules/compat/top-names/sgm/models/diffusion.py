"""`sgm.models.diffusion`."""

from modules.compat.sd_model import SdModel as DiffusionEngine

__all__ = ["DiffusionEngine"]
