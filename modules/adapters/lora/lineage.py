"""Which kind of model a LoRA was trained for, told from its names and shapes."""

from collections.abc import Mapping

from modules.adapters.lora.names import LayerName

Shapes = Mapping[LayerName, Mapping[str, tuple[int, ...]]]
"""Layer -> role -> shape."""

SUPPORTED: Mapping[str, str] = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
OTHERS: Mapping[str, str] = {"flux": "FLUX", "sd3": "Stable Diffusion 3"}
LABELS: Mapping[str, str] = {**SUPPORTED, **OTHERS}
"""Id -> what people call it."""

_TEXT_WIDTHS = {768: "sd1", 1024: "sd2"}


def lineage(layers: Shapes, metadata: Mapping[str, str]) -> str | None:
    """Return the id of the models a file fits, None where nothing tells."""
    return _by_blocks(layers) or _by_attention(layers) or _by_metadata(metadata) or _by_text(layers)


def _by_blocks(layers: Shapes) -> str | None:
    """Tell by layers that only one lineage has."""
    unet = [layer.path for layer in layers if layer.network in ("unet", "transformer")]
    if any("joint_blocks_" in path for path in unet):
        return "sd3"
    if any("double_blocks_" in path or "single_blocks_" in path for path in unet):
        return "flux"
    if any(path.startswith("single_transformer_blocks_") for path in unet):
        return "flux"
    if any(path.startswith("transformer_blocks_") for path in unet):
        return "sd3" if any("add_k_proj" in path for path in unet) else "flux"
    networks = {layer.network for layer in layers}
    deep = any("transformer_blocks_1_" in path for path in unet)
    return "sdxl" if deep or "te2" in networks else None


def _by_attention(layers: Shapes) -> str | None:
    """Tell by the width of the encoded text, where a whole side of the weight is stored."""
    widths = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
    for layer, shapes in layers.items():
        if layer.network == "unet" and layer.path.endswith("attn2_to_k"):
            for role in ("down", "diff", "hada_w1_b"):
                if len(shapes.get(role, ())) > 1 and shapes[role][1] in widths:
                    return widths[shapes[role][1]]
    return None


def _by_metadata(metadata: Mapping[str, str]) -> str | None:
    base = metadata.get("ss_base_model_version", "")
    if base.startswith("sdxl_"):
        return "sdxl"
    if base.startswith("flux"):
        return "flux"
    if base.startswith("sd3"):
        return "sd3"
    if metadata.get("ss_v2") == "True" or base.startswith("sd_v2"):
        return "sd2"
    return "sd1" if base.startswith("sd_v1") else None


def _by_text(layers: Shapes) -> str | None:
    for layer, shapes in layers.items():
        if layer.network in ("te", "te1") and layer.path.endswith("q_proj") and len(shapes.get("down", ())) > 1:
            return _TEXT_WIDTHS.get(shapes["down"][1])
    return None
