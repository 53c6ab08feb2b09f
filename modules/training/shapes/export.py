"""Write the checkpoint in the original key layout, with its description beside it."""

import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from modules.training.shapes.config import Networks, ShapesConfig, describe

PREFIXES = ("first_stage_model.", "cond_stage_model.", "model.diffusion_model.")


def checkpoint_tensors(networks: Networks) -> dict[str, Tensor]:
    """Return all weights in float16 under the names of the original checkpoints."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in zip(PREFIXES, (networks.vae, networks.text, networks.unet), strict=True):
        for name, parameter in module.named_parameters():
            tensors[prefix + _name(name)] = _half(parameter)
    return tensors


def _name(name: str) -> str:
    """Name of the original; some releases of transformers have one level more."""
    return name.replace("text_model.text_model.", "text_model.")


def _half(parameter: nn.Parameter) -> Tensor:
    return parameter.detach().to("cpu", torch.float16).contiguous()


def export(networks: Networks, config: ShapesConfig, path: Path) -> None:
    """Write `path` (safetensors) and the `.yaml` of the same name; each appears whole or not at all."""
    import yaml
    from safetensors.torch import save_file

    metadata = {
        "format": "pt",
        "modelspec.title": path.stem,
        "modelspec.architecture": "stable-diffusion-v1",
        "unet_heads": str(config.unet.num_heads),
        "unet_norm_groups": str(config.unet.norm_groups),
        "vae_norm_groups": str(config.vae.norm_groups),
        "text_heads": str(config.text_heads),
        "training": json.dumps({"resolution": 128}),
    }
    beside = path.with_suffix(".part")
    save_file(checkpoint_tensors(networks), beside, metadata)
    beside.chmod(0o644)
    os.replace(beside, path)
    beside.write_text(yaml.safe_dump(describe(config), sort_keys=False), encoding="utf-8")
    os.replace(beside, path.with_suffix(".yaml"))
