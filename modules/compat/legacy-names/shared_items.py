"""A1111's `modules.shared_items`."""

from modules.compat.optimizers import cross_attention_optimizations
from modules.compat.samplers import sampler_list as list_samplers
from modules.compat.vaes import refresh_vae_list, sd_vae_items

__all__ = ["cross_attention_optimizations", "list_samplers", "refresh_vae_list", "sd_vae_items"]
