"""Names of the original layout turned into those of diffusers and transformers, for the second implementation."""

import re
from typing import Any

from torch import Tensor

from modules.families.openclip import OpenClip
from modules.nn.torchvision_guard import ensure_torchvision_importable

RES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTER = {
    "time_embed.0.": "time_embedding.linear_1.",
    "time_embed.2.": "time_embedding.linear_2.",
    "label_emb.0.0.": "add_embedding.linear_1.",
    "label_emb.0.2.": "add_embedding.linear_2.",
    "input_blocks.0.0.": "conv_in.",
    "out.0.": "conv_norm_out.",
    "out.2.": "conv_out.",
    "middle_block.1.": "mid_block.attentions.0.",
}


def _res(rest: str) -> str:
    for ours, theirs in RES.items():
        rest = rest.replace(ours, theirs)
    return rest


def unet_name(name: str, blocks: int) -> str:
    """Turn a UNet's name; `blocks` is the number of residual blocks per level."""
    for ours, theirs in OUTER.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    part, number, layer, rest = (
        name.split(".", 3) if not name.startswith("middle") else ("middle", "0", *name.split(".", 2)[1:])
    )
    n = int(number)
    if part == "middle":
        return f"mid_block.resnets.{0 if layer == '0' else 1}.{_res(rest)}"
    if part == "input_blocks":
        level, i = divmod(n - 1, blocks + 1)
        if rest.startswith("op."):
            return f"down_blocks.{level}.downsamplers.0.conv.{rest.removeprefix('op.')}"
        kind = f"down_blocks.{level}"
    else:
        level, i = divmod(n, blocks + 1)
        kind = f"up_blocks.{level}"
        if rest.startswith("conv."):
            return f"{kind}.upsamplers.0.{rest}"
    return f"{kind}.resnets.{i}.{_res(rest)}" if layer == "0" else f"{kind}.attentions.{i}.{rest}"


def vae_name(name: str, levels: int) -> str:
    """Turn a VAE's name."""
    name = re.sub(r"^encoder\.down\.(\d)\.block\.", r"encoder.down_blocks.\1.resnets.", name)
    name = re.sub(r"^encoder\.down\.(\d)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0.", name)
    name = re.sub(r"^decoder\.up\.(\d)\.", lambda m: f"decoder.up_blocks.{levels - 1 - int(m[1])}.", name)
    name = re.sub(r"(up_blocks\.\d)\.block\.", r"\1.resnets.", name)
    name = re.sub(r"(up_blocks\.\d)\.upsample\.", r"\1.upsamplers.0.", name)
    name = name.replace("mid.block_1", "mid_block.resnets.0").replace("mid.block_2", "mid_block.resnets.1")
    name = name.replace("mid.attn_1.norm.", "mid_block.attentions.0.group_norm.")
    name = re.sub(r"mid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1.", name)
    name = name.replace("mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0.")
    return name.replace("nin_shortcut", "conv_shortcut").replace("norm_out", "conv_norm_out")


def openclip_to_transformers(ours: OpenClip) -> Any:
    """Return the second implementation of an OpenCLIP text encoder with its weights, activation gelu."""
    ensure_torchvision_importable()
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    sizes = ours.config
    theirs = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.mlp_width,
            projection_dim=sizes.projection or 1,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            max_position_embeddings=sizes.positions,
            hidden_act="gelu",
            bos_token_id=sizes.vocabulary - 2,
            eos_token_id=sizes.vocabulary - 1,
            pad_token_id=0,
        )
    )
    state: dict[str, Tensor] = {}
    for name, tensor in ours.model.state_dict().items():
        state |= _openclip_tensor(name, tensor)
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("position_ids") for name in missing.missing_keys)
    return theirs.eval()


def _openclip_tensor(name: str, tensor: Tensor) -> dict[str, Tensor]:
    whole = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "ln_final.weight": "text_model.final_layer_norm.weight",
        "ln_final.bias": "text_model.final_layer_norm.bias",
    }
    if name == "text_projection":
        return {"text_projection.weight": tensor.T}
    if name in whole:
        return {whole[name]: tensor}
    number, rest = name.removeprefix("transformer.resblocks.").split(".", 1)
    layer = f"text_model.encoder.layers.{number}."
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{layer}self_attn.{letter}_proj.{kind}": third for letter, third in thirds}
    renamed = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    renamed |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    part, kind = rest.rsplit(".", 1)
    return {f"{layer}{renamed[part]}.{kind}": tensor}
