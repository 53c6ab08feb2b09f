"""Sizes of the three networks, and the CompVis-style description that goes beside the checkpoint."""

from dataclasses import dataclass
from typing import Any

import torch

from modules.families.sd1.keys import TextConfig
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE, VAEConfig
from modules.nn.ops import PLAIN_OPS
from modules.training.shapes.precision import attend

VOCABULARY = 49408
POSITIONS = 77
BOS, EOS = 49406, 49407
"""Start token; end token, which also fills the rest of the 77 positions."""
SCALE = 0.18215
"""Samplers see the autoencoder's mean times this."""
BETAS = (0.00085, 0.012)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesConfig:
    """Sizes of one model."""

    unet: UNetConfig
    vae: VAEConfig
    text_width: int
    text_layers: int
    text_heads: int


SHIPPED = ShapesConfig(
    unet=UNetConfig(
        model_channels=48,
        channel_mult=(1, 2, 3),
        num_res_blocks=1,
        transformer_depth=(1, 1, 1),
        context_dim=128,
        num_heads=3,
        norm_groups=8,
    ),
    vae=VAEConfig(channels=16, channel_mult=(1, 2, 4, 6), num_res_blocks=1, norm_groups=2),
    text_width=128,
    text_layers=4,
    text_heads=4,
)
"""Small enough to be trained on two processor cores in about an hour and a half. Few norm groups: a group of one channel would lose
the absolute colour of a flat picture."""

TOY = ShapesConfig(
    unet=UNetConfig(
        model_channels=16,
        channel_mult=(1, 1),
        num_res_blocks=1,
        transformer_depth=(1, 1),
        context_dim=16,
        num_heads=2,
        norm_groups=4,
    ),
    vae=VAEConfig(channels=8, channel_mult=(1, 1, 1, 1), num_res_blocks=1, norm_groups=2),
    text_width=16,
    text_layers=2,
    text_heads=2,
)
"""For trying the whole way in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """The three networks of one model."""

    vae: VAE
    text: TextEncoder
    unet: UNet


def build(config: ShapesConfig) -> Networks:
    """Make untrained networks with torch's current random state."""
    text = TextConfig(
        width=config.text_width,
        layers=config.text_layers,
        heads=config.text_heads,
        mlp_width=4 * config.text_width,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
    )
    return Networks(
        vae=VAE(config.vae, PLAIN_OPS, attend), text=TextEncoder(text), unet=UNet(config.unet, PLAIN_OPS, attend)
    )


def num_bytes(config: ShapesConfig) -> int:
    """Return the size of the weights in float16, without allocating them."""
    with torch.device("meta"):
        networks = build(config)
    modules = (networks.vae, networks.text, networks.unet)
    return 2 * sum(p.numel() for module in modules for p in module.parameters())


def describe(config: ShapesConfig) -> dict[str, Any]:
    """Return the tree of the `.yaml` file: the original's layout, plus the numbers that weights cannot tell.

    `norm_groups` and the text encoder's `num_heads` are additions of this project.
    """
    unet, vae = config.unet, config.vae
    unet_params = {
        "image_size": 16,
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "model_channels": unet.model_channels,
        "attention_resolutions": [2**i for i, depth in enumerate(unet.transformer_depth) if depth],
        "num_res_blocks": unet.num_res_blocks,
        "channel_mult": list(unet.channel_mult),
        "num_heads": unet.num_heads,
        "norm_groups": unet.norm_groups,
        "use_spatial_transformer": True,
        "transformer_depth": 1,
        "context_dim": unet.context_dim,
        "use_checkpoint": False,
        "legacy": False,
    }
    vae_params = {
        "double_z": True,
        "z_channels": vae.z_channels,
        "resolution": 128,
        "in_channels": vae.in_channels,
        "out_ch": vae.out_channels,
        "ch": vae.channels,
        "ch_mult": list(vae.channel_mult),
        "num_res_blocks": vae.num_res_blocks,
        "norm_groups": vae.norm_groups,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    stages = {
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": unet_params,
        },
        "first_stage_config": {
            "target": "ldm.models.autoencoder.AutoencoderKL",
            "params": {"embed_dim": vae.embed_dim, "ddconfig": vae_params},
        },
        "cond_stage_config": {
            "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
            "params": {"num_heads": config.text_heads},
        },
    }
    params = {
        "linear_start": BETAS[0],
        "linear_end": BETAS[1],
        "timesteps": 1000,
        "image_size": 16,
        "channels": vae.z_channels,
        "scale_factor": SCALE,
        **stages,
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}
