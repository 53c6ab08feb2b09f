"""A1111's `modules.shared_items`."""

from modules.compat.tools import list_samplers, refresh_vae_list, sd_vae_items

__all__ = ["list_samplers", "refresh_vae_list", "sd_vae_items"]
