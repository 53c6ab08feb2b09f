"""A1111's `modules.shared_items`."""

from modules.compat.samplers import sampler_list as list_samplers
from modules.compat.vaes import refresh_vae_list, sd_vae_items

__all__ = ["list_samplers", "refresh_vae_list", "sd_vae_items"]
