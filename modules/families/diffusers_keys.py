"""Names of Stable Diffusion's networks in the original checkpoints beside those of diffusers and transformers.

Each function takes the bare names of one network (no `model.diffusion_model.` or `unet.` before them) in either
layout and returns the pairs of both. Everything follows from the structure: levels, blocks per level, and which
levels attend to the text.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from modules.families.pairs import Form, Pair, paired

_RESIDUAL: Mapping[str, str] = MappingProxyType(
    {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    }
)
_ENDS: Mapping[str, str] = MappingProxyType(
    {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "label_emb.0.0": "add_embedding.linear_1",
        "label_emb.0.2": "add_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.1": "mid_block.attentions.0",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
)
_CLASS_ENDS: Mapping[str, str] = MappingProxyType(
    {"label_emb.0.0": "class_embedding.linear_1", "label_emb.0.2": "class_embedding.linear_2"}
)
"""What unCLIP's UNet calls what it is told."""

VAE_ATTENTION: Mapping[str, str] = MappingProxyType(
    {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
)
OLD_VAE_ATTENTION: Mapping[str, str] = MappingProxyType(
    {"norm": "group_norm", "q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}
)
"""As diffusers wrote it until version 0.17."""

_POSITIONS = re.compile(r"(^|\.)position_ids$")
_LAYER = re.compile(r"(?:resblocks|layers)\.(\d+)\.")


def unet_pairs(names: Collection[str]) -> tuple[Pair, ...]:
    """Pair the tensors of a UNet, which have equal shapes in both layouts."""
    diffusers = any(name.startswith("down_blocks.") for name in names)
    blocks, attends = _diffusers_structure(names) if diffusers else _original_structure(names)
    modules = dict(_unet_modules(blocks, attends))
    if any(name.startswith("class_embedding.") for name in names):
        modules |= _CLASS_ENDS
    return paired(names, modules, to="original" if diffusers else "diffusers")


def _unet_modules(blocks: int, attends: tuple[bool, ...]) -> Iterator[tuple[str, str]]:
    """Yield the paths of a module in both layouts.

    Args:
        blocks: residual blocks per level on the way down; one more on the way up.
        attends: for each level, whether its blocks attend to the text.
    """
    yield from _ENDS.items()
    yield from _residual("middle_block.0", "mid_block.resnets.0")
    yield from _residual("middle_block.2", "mid_block.resnets.1")
    levels = len(attends)
    for level in range(levels):
        down, up = f"down_blocks.{level}", f"up_blocks.{level}"
        for block in range(blocks):
            stage = f"input_blocks.{1 + level * (blocks + 1) + block}"
            yield from _residual(f"{stage}.0", f"{down}.resnets.{block}")
            yield f"{stage}.1", f"{down}.attentions.{block}"
        yield f"input_blocks.{(level + 1) * (blocks + 1)}.0.op", f"{down}.downsamplers.0.conv"
        above = attends[levels - 1 - level]
        for block in range(blocks + 1):
            stage = f"output_blocks.{level * (blocks + 1) + block}"
            yield from _residual(f"{stage}.0", f"{up}.resnets.{block}")
            if above:
                yield f"{stage}.1", f"{up}.attentions.{block}"
        last = f"output_blocks.{level * (blocks + 1) + blocks}"
        yield f"{last}.{2 if above else 1}.conv", f"{up}.upsamplers.0.conv"


def _residual(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in _RESIDUAL.items():
        yield f"{original}.{ours}", f"{diffusers}.{theirs}"


def _diffusers_structure(names: Iterable[str]) -> tuple[int, tuple[bool, ...]]:
    found = set[tuple[int, str, int]]()
    for name in names:
        if match := re.match(r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.", name):
            found.add((int(match[1]), match[2], int(match[3])))
    levels = 1 + max((level for level, _, _ in found), default=-1)
    blocks = sum(level == 0 and kind == "resnets" for level, kind, _ in found)
    return blocks, tuple((level, "attentions", 0) in found for level in range(levels))


def _original_structure(names: Iterable[str]) -> tuple[int, tuple[bool, ...]]:
    found = set[tuple[int, str]]()
    for name in names:
        if match := re.match(r"input_blocks\.(\d+)\.(0\.op|0|1)\.", name):
            found.add((int(match[1]), match[2]))
    stages = 1 + max((stage for stage, _ in found), default=-1)
    steps = [stage for stage in range(stages) if (stage, "0.op") in found]
    blocks = (steps[0] if steps else stages) - 1
    return blocks, tuple((1 + level * (blocks + 1), "1") in found for level in range(len(steps) + 1))


def vae_pairs(names: Collection[str], attention: Mapping[str, str] | None = None) -> tuple[Pair, ...]:
    """Pair the tensors of a VAE; the layers of its attention are 1x1 convolutions in the original.

    Args:
        names: in either layout.
        attention: what the layers of the attention are called in diffusers; None for `VAE_ATTENTION`, or for
            what the names have.
    """
    diffusers = any(".down_blocks." in name or ".mid_block." in name for name in names)
    if attention is None:
        old = any(name.endswith("attentions.0.proj_attn.weight") for name in names)
        attention = OLD_VAE_ATTENTION if old else VAE_ATTENTION
    numbers = [int(m[1]) for name in names if (m := re.match(r"encoder\.down(?:_blocks)?\.(\d+)\.", name))]
    modules = dict(_vae_modules(1 + max(numbers, default=-1), attention))
    pairs = paired(names, modules, to="original" if diffusers else "diffusers")
    return tuple(replace(p, form=Form.CONVOLUTION) if _is_attention_matrix(p.original) else p for p in pairs)


def _is_attention_matrix(name: str) -> bool:
    return ".attn_1." in name and name.endswith(".weight") and ".norm." not in name


def _vae_modules(levels: int, attention: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from (("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv"))
    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in"
        yield f"{side}.norm_out", f"{side}.conv_norm_out"
        yield f"{side}.conv_out", f"{side}.conv_out"
        yield from _vae_residual(f"{side}.mid.block_1", f"{side}.mid_block.resnets.0")
        yield from _vae_residual(f"{side}.mid.block_2", f"{side}.mid_block.resnets.1")
        for ours, theirs in attention.items():
            yield f"{side}.mid.attn_1.{ours}", f"{side}.mid_block.attentions.0.{theirs}"
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{levels - 1 - level}"
        for block in range(9):
            yield from _vae_residual(f"encoder.down.{level}.block.{block}", f"{down}.resnets.{block}")
            yield from _vae_residual(f"decoder.up.{level}.block.{block}", f"{up}.resnets.{block}")
        yield f"encoder.down.{level}.downsample.conv", f"{down}.downsamplers.0.conv"
        yield f"decoder.up.{level}.upsample.conv", f"{up}.upsamplers.0.conv"


def _vae_residual(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    for name in ("norm1", "conv1", "norm2", "conv2"):
        yield f"{original}.{name}", f"{diffusers}.{name}"
    yield f"{original}.nin_shortcut", f"{diffusers}.conv_shortcut"


def clip_pairs(names: Iterable[str]) -> tuple[Pair, ...]:
    """Pair the tensors of CLIP (`transformer.text_model.` in the original, `text_model.` in diffusers); positions are no weights."""
    bare = [name.removeprefix("transformer.") for name in names if not _POSITIONS.search(name)]
    return tuple(Pair(f"transformer.{name}", (name,)) for name in bare)


def openclip_pairs(names: Iterable[str]) -> tuple[Pair, ...]:
    """Pair the tensors of an OpenCLIP text encoder (`model.` in the original) with those of transformers.

    Queries, keys and values share a matrix in the original; the projection is transposed. What carries nothing
    (attention mask, positions) has no pair, nor has `logit_scale`.
    """
    names = set(names)
    layers = 1 + max((int(match[1]) for name in names if (match := _LAYER.search(name))), default=-1)
    pairs = [*_openclip_ends(), *(pair for layer in range(layers) for pair in _openclip_layer(layer))]
    return tuple(pair for pair in pairs if pair.original in names or names.issuperset(pair.diffusers))


def _openclip_ends() -> Iterator[Pair]:
    yield Pair("model.positional_embedding", ("text_model.embeddings.position_embedding.weight",))
    yield Pair("model.token_embedding.weight", ("text_model.embeddings.token_embedding.weight",))
    for kind in ("weight", "bias"):
        yield Pair(f"model.ln_final.{kind}", (f"text_model.final_layer_norm.{kind}",))
    yield Pair("model.text_projection", ("text_projection.weight",), Form.TRANSPOSED)


_OPENCLIP_LAYER: Mapping[str, str] = MappingProxyType(
    {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
)


def _openclip_layer(layer: int) -> Iterator[Pair]:
    ours, theirs = f"model.transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
    for kind in ("weight", "bias"):
        thirds = tuple(f"{theirs}.self_attn.{letter}_proj.{kind}" for letter in "qkv")
        yield Pair(f"{ours}.attn.in_proj_{kind}", thirds, Form.STACKED)
        for name, other in _OPENCLIP_LAYER.items():
            yield Pair(f"{ours}.{name}.{kind}", (f"{theirs}.{other}.{kind}",))
