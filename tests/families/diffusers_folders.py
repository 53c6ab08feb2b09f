"""Narrow models with random weights, saved by diffusers and transformers as they save real ones."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modules.nn.torchvision_guard import ensure_torchvision_importable

PIPELINES = {
    "sd1": "StableDiffusionPipeline",
    "inpainting": "StableDiffusionInpaintPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "refiner": "StableDiffusionXLImg2ImgPipeline",
    "ssd": "StableDiffusionXLPipeline",
    "koala": "StableDiffusionXLPipeline",
}
DISTILLED: dict[str, dict[str, Any]] = {
    "ssd": {"mid_block_type": "UNetMidBlock2D", "reverse_transformer_layers_per_block": [[2, 3], 1]},
    "koala": {"mid_block_type": None},
}
"""What networks with fewer layers than their teacher's leave out."""


@dataclass
class Saved:
    """The second implementation's networks and the folder they were saved in."""

    folder: Path
    parts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def quietly() -> Iterator[None]:
    """Let the second implementation import and warn as it likes."""
    ensure_torchvision_importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unet(kind: str) -> nn.Module:
    make = import_module("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel
    later = kind in ("sd2", "sdxl", "refiner", *DISTILLED)
    more: dict[str, Any] = {}
    if later and kind != "sd2":
        told = 5 if kind == "refiner" else 6
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 24 + told * 256,
            "transformer_layers_per_block": (1, 2),
        }
    more |= DISTILLED.get(kind, {})
    return make(
        sample_size=16,
        in_channels=9 if kind == "inpainting" else 4,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D" if later and more else "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D" if later and more else "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim={"refiner": 24, "sd2": 24}.get(kind, 16 + 24 if later else 16),
        attention_head_dim=(2, 4) if later else 4,  # the number of heads
        use_linear_projection=later,
        norm_num_groups=8,
        **more,
    )


def _vae() -> nn.Module:
    return import_module("diffusers.models.autoencoders.autoencoder_kl").AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.25,
    )


def _text(width: int, act: str, *, projection: bool) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=4, hidden_act=act,
        projection_dim=24, bos_token_id=49406, eos_token_id=49407, pad_token_id=1,
    )  # fmt: skip
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def networks(kind: str) -> dict[str, nn.Module]:
    """Return the networks of a pipeline with random weights, norms included."""
    with quietly():
        parts = {"unet": _unet(kind), "vae": _vae()}
        if kind not in ("sd2", "refiner"):
            parts["text_encoder"] = _text(16, "quick_gelu", projection=False)
        if kind == "sd2":
            parts["text_encoder"] = _text(24, "gelu", projection=False)
        if kind in ("sdxl", "refiner", *DISTILLED):
            parts["text_encoder_2"] = _text(24, "gelu", projection=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in parts.values():
            for name, parameter in part.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                is_scale = parameter.ndim == 1 and name.endswith("weight")
                parameter.copy_(0.1 * noise + is_scale if parameter.ndim == 1 else noise / parameter[0].numel() ** 0.5)
            part.eval().requires_grad_(False)
    return parts


def save_folder(folder: Path, kind: str, schedule: dict[str, Any] | None = None, **how: Any) -> Saved:
    """Write a folder as `save_pretrained` does; `how` goes to it."""
    parts = networks(kind)
    index: dict[str, Any] = {"_class_name": PIPELINES[kind], "_diffusers_version": "0.30.0"}
    with quietly():
        for name, part in parts.items():
            part.save_pretrained(folder / name, **how)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
            index[name] = ["diffusers", type(part).__name__]
    (folder / "scheduler").mkdir()
    told = {"beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000, "prediction_type": "epsilon"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(told | (schedule or {})))
    (folder / "model_index.json").write_text(json.dumps(index))
    return Saved(folder, parts)
