"""`ldm.modules.diffusionmodules.openaimodel`."""

from modules.compat.networks_layers import (
    AttentionBlock,
    Downsample,
    ResBlock,
    SpatialTransformer,
    TimestepBlock,
    TimestepEmbedSequential,
    UNetModel,
    Upsample,
    zero_module,
)
from modules.compat.networks_parts import (
    avg_pool_nd,
    checkpoint,
    conv_nd,
    exists,
    linear,
    normalization,
    timestep_embedding,
)

__all__ = [
    "AttentionBlock", "Downsample", "ResBlock", "SpatialTransformer", "TimestepBlock", "TimestepEmbedSequential",
    "UNetModel", "Upsample", "avg_pool_nd", "checkpoint", "conv_nd", "exists", "linear", "normalization",
    "timestep_embedding", "zero_module",
]  # fmt: skip
