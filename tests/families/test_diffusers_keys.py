"""Names of both layouts: every tensor of public files has its counterpart, in name and in shape, both ways."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.families.diffusers_keys import clip_pairs, openclip_pairs, unet_pairs, vae_pairs
from modules.families.pairs import Form, Pair, original_shape, to_diffusers, to_original

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CASES = [
    ("sd15", UNET, "sd15-unet", unet_pairs),
    ("sd15-inpainting", UNET, "sd15-inpainting-unet", unet_pairs),
    ("sd21-768-v", UNET, "sd21-unet", unet_pairs),
    ("sdxl-base", UNET, "sdxl-unet", unet_pairs),
    ("sdxl-inpainting", UNET, "sdxl-inpainting-unet", unet_pairs),
    ("sdxl-refiner", UNET, "sdxl-refiner-unet", unet_pairs),
    ("sd15", VAE, "vae-kl-f8", vae_pairs),
    ("sdxl-base", VAE, "vae-kl-f8-old-attn", vae_pairs),
    ("sd15", "cond_stage_model.", "sd15-text_encoder", clip_pairs),
    ("sdxl-base", "conditioner.embedders.0.", "sdxl-text_encoder", clip_pairs),
    ("sdxl-base", "conditioner.embedders.1.", "sdxl-text_encoder_2", openclip_pairs),
    ("sdxl-refiner", "conditioner.embedders.0.", "sdxl-text_encoder_2", openclip_pairs),
]
NO_WEIGHTS = ("position_ids", "logit_scale", "attn_mask")


def shapes_of(shared_dir: Path, folder: str, name: str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    with gzip.open(shared_dir / "manifests" / folder / f"{name}.json.gz", "rt") as file:
        tensors: dict[str, Any] = json.load(file)["tensors"]
    own = {key.removeprefix(prefix): tuple(shape) for key, (shape, _) in tensors.items() if key.startswith(prefix)}
    return {
        key: shape for key, shape in own.items() if not key.endswith(NO_WEIGHTS) and not key.startswith("model_ema")
    }


@pytest.mark.parametrize(("checkpoint", "prefix", "diffusers", "pairs_of"), CASES)
def test_every_tensor_has_its_counterpart(
    shared_dir: Path, checkpoint: str, prefix: str, diffusers: str, pairs_of: Any
):
    ours = shapes_of(shared_dir, "checkpoints", checkpoint, prefix)
    theirs = shapes_of(shared_dir, "diffusers", diffusers)
    pairs: tuple[Pair, ...] = pairs_of(theirs)
    assert {pair.original: original_shape(pair, theirs) for pair in pairs} == ours
    assert sorted(name for pair in pairs for name in pair.diffusers) == sorted(theirs)
    if "old" not in diffusers:
        assert set(pairs_of(ours)) == set(pairs)


def test_the_text_encoder_of_version_2_lacks_the_layer_that_nobody_reads(shared_dir: Path):
    ours = shapes_of(shared_dir, "checkpoints", "sd21-768-v", "cond_stage_model.")
    theirs = shapes_of(shared_dir, "diffusers", "sd21-text_encoder")
    found = {pair.original: original_shape(pair, theirs) for pair in openclip_pairs(theirs)}
    absent = set(ours) - set(found)
    assert found.items() <= ours.items()
    assert all("resblocks.23." in name or name == "model.text_projection" for name in absent)
    assert len(absent) == 13


@pytest.mark.parametrize("form", list(Form))
def test_values_go_there_and_back(form: Form):
    names = ("q", "k", "v") if form is Form.STACKED else ("q",)
    shape = (6, 4, 1, 1) if form is Form.CONVOLUTION else (6, 4)
    pair, tensor = Pair("whole", names, form), torch.randn(shape)
    parts = to_diffusers(pair, tensor)
    assert to_original(pair, parts.__getitem__).equal(tensor)
    assert original_shape(pair, {name: tuple(part.shape) for name, part in parts.items()}) == shape


def test_parts_of_eight_bits_are_stacked():
    pair = Pair("whole", ("q", "k"), Form.STACKED)
    parts = {"q": torch.ones(2, 3).to(torch.float8_e4m3fn), "k": torch.zeros(2, 3).to(torch.float8_e4m3fn)}
    whole = to_original(pair, parts.__getitem__)
    assert whole.dtype is torch.float8_e4m3fn
    assert whole.float().tolist() == [[1] * 3] * 2 + [[0] * 3] * 2
