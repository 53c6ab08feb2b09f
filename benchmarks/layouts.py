"""The networks of Stable Diffusion 1.5 and XL in the product's own code and in diffusers', at any width, without weights."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

FULL_WIDTH = 320
"""First width of the UNets; others make narrow networks of the same structure."""
LAYOUTS = ("sd1", "sdxl")
TOLD = 6 * 256
"""Numbers that the UNet of XL is told of a picture's size, as sinusoids."""


def unet_config(layout: str, width: int) -> Any:
    """Return the sizes of a UNet."""
    from modules.families.sd1.network import UNetConfig

    if layout == "sd1":
        return UNetConfig(model_channels=width, context_dim=768 if width == FULL_WIDTH else 64)
    _, large = text_configs(layout, width)
    return UNetConfig(
        model_channels=width,
        channel_mult=(1, 2, 4),
        transformer_depth=(0, 2, 10),
        middle_depth=10,
        context_dim=2048 if width == FULL_WIDTH else 192,
        num_heads=None,
        num_head_channels=64,
        linear_projection=True,
        vector_dim=large.projection + TOLD,
    )


def text_configs(layout: str, width: int) -> tuple[Any, Any]:
    """Return the sizes of CLIP and, for XL, OpenCLIP."""
    from modules.families.openclip import OpenClipConfig
    from modules.families.sd1.keys import TextConfig

    full = width == FULL_WIDTH
    small = TextConfig() if full else TextConfig(width=64, heads=1, mlp_width=256, layers=1)
    if layout == "sd1":
        return small, None
    if full:
        return small, OpenClipConfig(width=1280, layers=32, heads=20, mlp_width=5120, projection=1280)
    return small, OpenClipConfig(width=128, layers=1, heads=2, mlp_width=512, projection=128)


def vae_config(width: int) -> Any:
    """Return the sizes of the VAE that belongs to a UNet."""
    from modules.families.sd1.vae import VAEConfig

    return VAEConfig(channels=128 if width == FULL_WIDTH else width)


def networks(layout: str, width: int) -> dict[str, Any]:
    """Return prefix in the file -> network; build them on the meta device unless they are to be initialised."""
    from modules.families.sd1.keys import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX
    from modules.families.sd1.network import UNet
    from modules.families.sd1.text import TextEncoder
    from modules.families.sd1.vae import VAE
    from modules.families.sdxl.text import PREFIX, TextEncoders

    small, large = text_configs(layout, width)
    text = {TEXT_PREFIX: TextEncoder(small)} if large is None else {PREFIX: TextEncoders(small, large)}
    return {UNET_PREFIX: UNet(unet_config(layout, width)), VAE_PREFIX: VAE(vae_config(width)), **text}


def diffusers() -> Any:
    """Return the package, None when it is not installed."""
    if importlib.util.find_spec("diffusers") is None:
        return None
    from modules.nn.torchvision_guard import ensure_torchvision_importable

    ensure_torchvision_importable()
    return importlib.import_module("diffusers")


def diffusers_unet(layout: str, width: int) -> Any:
    """Return diffusers' UNet of the same sizes, to be called on the meta device."""
    sizes = unet_config(layout, width)
    if layout == "sd1":
        return diffusers().UNet2DConditionModel(
            block_out_channels=tuple(width * mult for mult in sizes.channel_mult),
            cross_attention_dim=sizes.context_dim,
            attention_head_dim=8,
        )
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in sizes.transformer_depth]
    return diffusers().UNet2DConditionModel(
        sample_size=128,
        block_out_channels=tuple(width * mult for mult in sizes.channel_mult),
        down_block_types=tuple(down),
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(down)),
        transformer_layers_per_block=tuple(depth or 1 for depth in sizes.transformer_depth),
        attention_head_dim=tuple(max(1, width * mult // 64) for mult in sizes.channel_mult),
        cross_attention_dim=sizes.context_dim,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=sizes.vector_dim,
    )


def diffusers_vae(width: int) -> Any:
    """Return diffusers' VAE of the same sizes, to be called on the meta device."""
    first = vae_config(width).channels
    return diffusers().AutoencoderKL(
        block_out_channels=tuple(first * mult for mult in (1, 2, 4, 4)),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )


def save_configs(layout: str, width: int, folder: Path) -> dict[str, Path]:
    """Write the configurations with which diffusers loads its UNet and VAE from one file; return their folders."""
    import torch

    with torch.device("meta"):
        parts = {"unet": diffusers_unet(layout, width), "vae": diffusers_vae(width)}
    for name, part in parts.items():
        part.save_config(folder / name)
    return {name: folder / name for name in parts}
