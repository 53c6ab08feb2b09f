"""Checkpoints of Stable Diffusion 1 in the real layout, with narrow networks and random weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from modules.families.sd1.keys import TextConfig
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE, VAEConfig

SIDECAR = """
model:
  params:
    unet_config: {params: {num_heads: 4, norm_groups: 8}}
    first_stage_config: {params: {ddconfig: {norm_groups: 4}}}
    cond_stage_config: {params: {num_heads: 3}}
"""


def make_narrow_checkpoint(path: Path, *, in_channels: int = 4, seed: int = 0) -> Path:
    """Write a checkpoint and its yaml; its latents are an eighth of the picture's size."""
    unet = UNetConfig(
        in_channels=in_channels,
        model_channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(1, 0),
        context_dim=24,
        num_heads=4,
        norm_groups=8,
    )
    vae = VAEConfig(channels=8, channel_mult=(1, 2, 2, 2), num_res_blocks=1, norm_groups=4)
    text = TextConfig(width=24, layers=2, heads=3, mlp_width=48)
    parts: dict[str, nn.Module] = {
        "model.diffusion_model.": UNet(unet),
        "first_stage_model.": VAE(vae),
        "cond_stage_model.": TextEncoder(text),
    }
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        prefix + name: _draw(tensor, generator)
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    save_file(tensors, path)
    path.with_suffix(".yaml").write_text(SIDECAR)
    return path


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    return 0.2 * torch.randn(like.shape, generator=generator)
