"""`ldm.models.diffusion.ddpm`."""

from modules.compat.networks_parts import default, exists, extract_into_tensor, instantiate_from_config
from modules.compat.sd_model import DiffusionWrapper
from modules.compat.sd_model import SdModel as LatentDiffusion

__all__ = [
    "DiffusionWrapper", "LatentDiffusion", "default", "exists", "extract_into_tensor", "instantiate_from_config",
]  # fmt: skip
