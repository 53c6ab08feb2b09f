"""Public files in layouts that are not the original one, alone and put together: told by their headers."""

import gzip
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from modules.domain.errors import UnsupportedCheckpoint
from modules.families import families, identify
from modules.families.opening import arrange
from modules.library.header import Header, TensorInfo

UNETS = {
    "sd15-unet": ("sd1", "base"),
    "sd15-inpainting-unet": ("sd1", "inpainting"),
    "sd21-unet": ("sd2", "base"),
    "sdxl-unet": ("sdxl", "base"),
    "sdxl-inpainting-unet": ("sdxl", "inpainting"),
    "sdxl-refiner-unet": ("sdxl", "refiner"),
}
ENCODERS = {
    "sd1": (("clip_l",), ("sd15-text_encoder",)),
    "sd2": (("clip_h-openclip",), ("sd21-text_encoder",)),
    "sdxl": (("clip_l", "clip_g"), ("sdxl-text_encoder", "sdxl-text_encoder_2"), ("clip_g-openclip", "clip_l")),
    "refiner": (("clip_g",), ("sdxl-text_encoder_2",)),
}
NAMES = {"sd1": "clip_l", "sd2": "clip_h", "sdxl": "clip_l.*clip_g", "refiner": "clip_g"}


@pytest.fixture(scope="module")
def documents(shared_dir: Path) -> dict[str, dict[str, Any]]:
    found = dict[str, dict[str, Any]]()
    for folder in ("checkpoints", "diffusers", "text_encoders", "vae"):
        for path in (shared_dir / "manifests" / folder).glob("*.json.gz"):
            with gzip.open(path, "rt") as file:
                found[path.name.removesuffix(".json.gz")] = json.load(file)
    return found


def header(name: str, tensors: dict[str, Any], prefix: str = "") -> Header:
    infos = {prefix + key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in tensors.items()}
    return Header(Path(f"{name}.safetensors"), infos, {})


def detected(*headers: Header) -> tuple[str, str] | None:
    arranged = arrange(headers)
    for family in families():
        if not arranged.missing and (match := family.detect(arranged.header, {})) is not None:
            return match.family, match.variant
    return None


@pytest.mark.parametrize("name", UNETS)
@pytest.mark.parametrize("bare", [True, False])
def test_a_unet_with_text_encoders_of_any_layout(name: str, bare: bool, documents: dict[str, dict[str, Any]]):
    unet = header(name, documents[name]["tensors"], "" if bare else "model.diffusion_model.")
    expected = UNETS[name]
    lineage = "refiner" if expected[1] == "refiner" else expected[0]
    for encoders in ENCODERS[lineage]:
        assert detected(unet, *(header(one, documents[one]["tensors"]) for one in encoders)) == expected
    with pytest.raises(UnsupportedCheckpoint, match=NAMES[lineage] + r".*models/text_encoder, its VAE in models/VAE"):
        identify(unet, {})


@pytest.mark.parametrize("name", ["sd15", "sdxl-base", "sdxl-refiner", "sd21-768-v", "sd15-inpainting"])
def test_original_files_are_left_as_they_are(name: str, documents: dict[str, dict[str, Any]]):
    whole = header(name, documents[name]["tensors"])
    assert arrange([whole]).header is whole


def test_encoders_with_the_names_of_transformers_in_original_files(documents: dict[str, dict[str, Any]]):
    for checkpoint, prefix, encoder in (
        ("sdxl-base", "conditioner.embedders.1.", "sdxl-text_encoder_2"),
        ("sd21-768-v", "cond_stage_model.", "sd21-text_encoder"),
    ):
        original = documents[checkpoint]["tensors"]
        kept = {name: info for name, info in original.items() if not name.startswith(prefix)}
        renamed = {f"{prefix}transformer.{name}": info for name, info in documents[encoder]["tensors"].items()}
        arranged = arrange([header("x", kept | renamed)]).header
        shapes = {name: info.shape for name, info in arranged.tensors.items()}
        assert detected(header("x", kept | renamed)) == (("sd2" if "sd21" in checkpoint else "sdxl"), "base")
        assert all(tuple(original[name][0]) == shape for name, shape in shapes.items())
        lost = [name for name in original if name not in shapes]
        assert all(
            fnmatch(name, "*logit_scale") or "resblocks.23" in name or "text_projection" in name for name in lost
        )


def test_a_checkpoint_as_workflow_tools_save_it(documents: dict[str, dict[str, Any]]):
    for unet in ("model.diffusion_model.", "diffusion_model."):
        tensors = {f"{unet}{name}": info for name, info in documents["sdxl-unet"]["tensors"].items()}
        for part, prefix in (
            ("clip_l", "text_encoders.clip_l.transformer."),
            ("clip_g", "text_encoders.clip_g.transformer."),
            ("sd-vae-compvis", "vae."),
        ):
            tensors |= {prefix + name: info for name, info in documents[part]["tensors"].items()}
        assert detected(header("comfy", tensors)) == ("sdxl", "base")
        arranged = arrange([header("comfy", tensors)]).header.tensors
        assert arranged["first_stage_model.decoder.conv_in.weight"].shape == (512, 4, 3, 3)


def test_scales_of_8_bit_weights_are_no_tensors_of_a_network(documents: dict[str, dict[str, Any]]):
    tensors = {f"model.diffusion_model.{name}": info for name, info in documents["sdxl-unet"]["tensors"].items()}
    tensors |= {
        "scaled_fp8": [[0], "F8_E4M3"],
        "model.diffusion_model.conv_in.scale_weight": [[], "F32"],
        "model.diffusion_model.conv_in.scale_input": [[], "F32"],
    }
    arranged = arrange([header("scaled", tensors)]).header.tensors
    assert "model.diffusion_model.input_blocks.0.0.weight" in arranged
    assert not [name for name in arranged if "scale" in name]
