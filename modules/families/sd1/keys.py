"""Which tensor of a checkpoint belongs where, and the sizes of the networks told from shapes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.families.sd1.defaults import NORM_GROUPS, TEXT_HEAD_WIDTH, UNET_HEADS
from modules.families.sd1.network import UNetConfig
from modules.families.sd1.vae import VAEConfig

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model."

Shapes = Mapping[str, tuple[int, ...]]
"""Name in the module -> shape."""

_TEXT_LEVEL = re.compile(r"^transformer\.(?:text_model\.)?(embeddings|encoder|final_layer_norm)\.")
_TEXT_IGNORED = re.compile(r"(^|\.)(position_ids|logit_scale|text_projection(\.weight)?)$")
_VAE_IGNORED = re.compile(r"^(loss|model_ema)\.|^(model_ema|discriminator|logvar)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Sizes of a CLIP text encoder. The defaults are ViT-L/14."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_width: int = 3072
    vocabulary: int = 49408
    positions: int = 77


def unet_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name in the UNet -> name in the file; averaged copies (`model_ema.`) are left out."""
    return {name.removeprefix(UNET_PREFIX): name for name in names if name.startswith(UNET_PREFIX)}


def vae_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name in the VAE -> name in the file, of a checkpoint or of a VAE's own file; training parts are left out."""
    whole = any(name.startswith(VAE_PREFIX) for name in names)
    own = {name.removeprefix(VAE_PREFIX): name for name in names if not whole or name.startswith(VAE_PREFIX)}
    return {name: stored for name, stored in own.items() if not _VAE_IGNORED.search(name)}


def text_names(names: Mapping[str, Any], prefix: str = TEXT_PREFIX) -> dict[str, str]:
    """Return name in the text encoder -> name in the file; early files lack the level `text_model`."""
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    kept = {name: stored for name, stored in own.items() if not _TEXT_IGNORED.search(name)}
    return {_TEXT_LEVEL.sub(r"transformer.text_model.\1.", name): stored for name, stored in kept.items()}


def unet_config(shapes: Shapes, facts: Mapping[str, Any]) -> UNetConfig:
    """Infer the sizes of a UNet.

    Args:
        shapes: of its tensors.
        facts: `Match.config`, for heads and norm groups.

    Raises:
        KeyError: a tensor that tells a size is missing.
        ValueError: levels that are not alike.
    """
    model_channels, in_channels = shapes["input_blocks.0.0.weight"][:2]
    levels = _levels(shapes)
    if len({len(level) for level in levels}) != 1 or any(len(set(level)) != 1 for level in levels):
        raise ValueError("the levels of the UNet are not alike")
    widths, depths = zip(*(level[0] for level in levels), strict=True)
    if any(width % model_channels for width in widths):
        raise ValueError("a level of the UNet is not a multiple of its first convolution")
    text = next((s for n, s in shapes.items() if n.endswith("transformer_blocks.0.attn2.to_k.weight")), None)
    projection = next((s for n, s in shapes.items() if n.endswith("1.proj_in.weight")), ())
    head_channels = facts.get("unet_head_channels")
    return UNetConfig(
        in_channels=in_channels,
        out_channels=shapes["out.2.weight"][0],
        model_channels=model_channels,
        channel_mult=tuple(width // model_channels for width in widths),
        num_res_blocks=len(levels[0]),
        transformer_depth=depths,
        up_depth=_up_depth(shapes, depths, len(levels[0])),
        middle_blocks=sum(f"middle_block.{i}.in_layers.0.weight" in shapes for i in range(3)),
        middle_depth=_depth(shapes, "middle_block.1"),
        context_dim=text[1] if text else 1,
        num_heads=None if head_channels else facts.get("unet_heads", UNET_HEADS),
        num_head_channels=head_channels,
        linear_projection=len(projection) == 2,
        vector_dim=shapes["label_emb.0.0.weight"][1] if "label_emb.0.0.weight" in shapes else None,
        norm_groups=facts.get("unet_norm_groups", NORM_GROUPS),
    )


def _levels(shapes: Shapes) -> list[list[tuple[int, int]]]:
    """Per level, per residual block: (width, transformer blocks)."""
    levels: list[list[tuple[int, int]]] = [[]]
    block = 1
    while True:
        stage = f"input_blocks.{block}"
        if f"{stage}.0.op.weight" in shapes:
            levels.append([])
        elif (weight := shapes.get(f"{stage}.0.in_layers.2.weight")) is not None:
            levels[-1].append((weight[0], _depth(shapes, f"{stage}.1")))
        else:
            break
        block += 1
    if not levels[0]:
        raise KeyError("input_blocks.1.0.in_layers.2.weight")
    return levels


def _up_depth(shapes: Shapes, depths: tuple[int, ...], blocks: int) -> tuple[tuple[int, ...], ...] | None:
    """Per level, per residual block on the way up: transformer blocks; None where they are as many as on the way down."""
    stages = [_depth(shapes, f"output_blocks.{i}.1") for i in range(len(depths) * (blocks + 1))]
    found = tuple(tuple(stages[i : i + blocks + 1]) for i in range(0, len(stages), blocks + 1))[::-1]
    same = all(set(level) == {depth} for level, depth in zip(found, depths, strict=True))
    return None if same else found


def _depth(shapes: Shapes, transformer: str) -> int:
    depth = 0
    while f"{transformer}.transformer_blocks.{depth}.norm1.weight" in shapes:
        depth += 1
    return depth


def vae_config(shapes: Shapes, facts: Mapping[str, Any]) -> VAEConfig:
    """Infer the sizes of a VAE; arguments and errors as for `unet_config`."""
    channels, in_channels = shapes["encoder.conv_in.weight"][:2]
    widths = []
    while (weight := shapes.get(f"encoder.down.{len(widths)}.block.0.conv1.weight")) is not None:
        widths.append(weight[0])
    if not widths:
        raise KeyError("encoder.down.0.block.0.conv1.weight")
    if any(width % channels for width in widths):
        raise ValueError("a level of the VAE is not a multiple of its first convolution")
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv1.weight" in shapes:
        blocks += 1
    return VAEConfig(
        in_channels=in_channels,
        out_channels=shapes["decoder.conv_out.weight"][0],
        channels=channels,
        channel_mult=tuple(width // channels for width in widths),
        num_res_blocks=blocks,
        z_channels=shapes["decoder.conv_in.weight"][1],
        embed_dim=shapes["post_quant_conv.weight"][1],
        norm_groups=facts.get("vae_norm_groups", NORM_GROUPS),
    )


def text_config(shapes: Shapes, facts: Mapping[str, Any]) -> TextConfig:
    """Infer the sizes of a text encoder; arguments and errors as for `unet_config`."""
    root = "transformer.text_model"
    vocabulary, width = shapes[f"{root}.embeddings.token_embedding.weight"]
    layers = 0
    while f"{root}.encoder.layers.{layers}.layer_norm1.weight" in shapes:
        layers += 1
    return TextConfig(
        width=width,
        layers=layers,
        heads=facts.get("text_heads") or max(1, width // TEXT_HEAD_WIDTH),
        mlp_width=shapes[f"{root}.encoder.layers.0.mlp.fc1.weight"][0],
        vocabulary=vocabulary,
        positions=shapes[f"{root}.embeddings.position_embedding.weight"][0],
    )
