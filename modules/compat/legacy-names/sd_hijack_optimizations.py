"""A1111's `modules.sd_hijack_optimizations`."""

from modules.compat.networks_attention import (
    get_available_vram,
    get_xformers_flash_attention_op,
    sub_quad_attention,
)
from modules.compat.optimizers import SdOptimization

__all__ = ["SdOptimization", "get_available_vram", "get_xformers_flash_attention_op", "sub_quad_attention"]
