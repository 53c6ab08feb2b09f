"""`ldm.modules.attention`."""

from modules.compat.networks_layers import (
    GEGLU,
    BasicTransformerBlock,
    CrossAttention,
    FeedForward,
    MemoryEfficientCrossAttention,
    SpatialTransformer,
    zero_module,
)
from modules.compat.networks_parts import checkpoint, default, exists

__all__ = [
    "GEGLU", "BasicTransformerBlock", "CrossAttention", "FeedForward", "MemoryEfficientCrossAttention",
    "SpatialTransformer", "checkpoint", "default", "exists", "zero_module",
]  # fmt: skip
