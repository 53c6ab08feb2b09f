"""Names of tensors in LoRA files, taken apart: network, layer, and what the tensor is to it.

Trainers write `lora_unet_<path with underscores>.lora_up.weight` (kohya, LyCORIS), `unet.<path>.lora_A.weight` (PEFT,
diffusers and its earlier spellings) or `diffusion_model.<path>...`; text encoders likewise.
"""

import re
from dataclasses import dataclass

from modules.nn.patches.key_map import flattened

_NETWORKS: tuple[tuple[str, str], ...] = (
    ("lora_unet_", "unet"),
    ("oft_unet_", "unet"),
    ("lora_te1_", "te1"),
    ("lora_te2_", "te2"),
    ("lora_te3_", "te3"),
    ("lora_te_", "te"),
    ("oft_te_", "te"),
    ("oft_te1_", "te1"),
    ("oft_te2_", "te2"),
    ("lycoris_", "unet"),
    ("lora_prior_unet_", "unet"),
    ("model.diffusion_model.", "unet"),
    ("diffusion_model.", "unet"),
    ("base_model.model.", "unet"),
    ("unet.base_model.model.", "unet"),
    ("unet.", "unet"),
    ("transformer.", "transformer"),
    ("lora_transformer_", "transformer"),
    ("text_encoders.clip_l.transformer.", "te1"),
    ("text_encoders.clip_g.transformer.", "te2"),
    ("text_encoder.", "te"),
    ("text_encoder_2.", "te2"),
    ("text_encoder_3.", "te3"),
    ("text_model.", "te"),
)
"""What a name begins with -> network. The longest beginning wins; a name with none of them belongs to the UNet."""

_KEPT = ("text_model.",)
"""Beginnings that are part of the path."""

_PEFT = r"\.(?P<peft>lora_(?:A|B|magnitude_vector))(?:\.(?!weight$|bias$)[^.]+)?(?:\.(?P<kind>weight|bias))?$"
_EARLY = r"(?:\.|_)lora(?:_linear_layer|[12])?\.(?P<early>up|down)\.weight$"
_PLAIN = (
    r"\.(?P<plain>lora_up\.weight|lora_down\.weight|lora_mid\.weight|hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t[12])"
    r"|[ab][12]\.weight|oft_blocks|oft_diag|rescale|dora_scale|alpha|scale|scalar|diff|diff_b|set_weight|w_norm|b_norm"
    r"|on_input|weight|bias_(?:indices|values|size))$"
)
_NAME = re.compile(f"(?P<layer>.+?)(?:{_EARLY}|{_PEFT}|{_PLAIN})")

_ROLES = {
    "lora_up.weight": "up", "lora_down.weight": "down", "lora_mid.weight": "mid", "up": "up", "down": "down",
    "lora_A": "down", "lora_B": "up", "lora_magnitude_vector": "dora_scale", "a1.weight": "a1", "a2.weight": "a2",
    "b1.weight": "b1", "b2.weight": "b2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer as a file names it."""

    network: str
    """unet, te (the only or first text encoder), te1, te2, te3, or transformer."""
    path: str
    """Flat: underscores for dots."""


def parse(name: str) -> tuple[LayerName, str] | None:
    """Return the layer a tensor belongs to and its role there, None for a name of another kind.

    Roles are the names that LyCORIS uses, `up`, `down` and `mid`, `dora_scale` for every magnitude, and `up_bias`.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    role = match["early"] or match["peft"] or match["plain"]
    if match["kind"] == "bias":
        if role != "lora_B":
            return None
        return layer_name(match["layer"]), "up_bias"
    return layer_name(match["layer"]), _ROLES.get(role, role)


def layer_name(path: str) -> LayerName:
    """Tell the network from the beginning of a path."""
    starts = [(start, network) for start, network in _NETWORKS if path.startswith(start)]
    start, network = max(starts, key=lambda pair: len(pair[0]), default=("", "unet"))
    own = path if start in _KEPT else path.removeprefix(start)
    return LayerName(network, flattened(own.replace(".processor.", ".")))
