"""`ldm.modules.diffusionmodules.model`."""

from modules.compat.networks_autoencoder import (
    AttnBlock,
    Decoder,
    Downsample,
    Encoder,
    MemoryEfficientAttnBlock,
    ResnetBlock,
    Upsample,
)

__all__ = ["AttnBlock", "Decoder", "Downsample", "Encoder", "MemoryEfficientAttnBlock", "ResnetBlock", "Upsample"]
