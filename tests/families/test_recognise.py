"""Every public file layout is either claimed by the right family or refused by name."""

import gzip
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.families import families, identify
from modules.families.parts import find_parts
from modules.families.recognise import describe
from modules.families.sd1.load import load_vae
from modules.library.header import Header, TensorInfo
from modules.library.tensors import Tensors
from tests.families.narrow_files import build

BELONGS = {
    "lora": "models/Lora",
    "controlnet": "models/ControlNet",
    "t2i_adapter": "models/ControlNet",
    "ip_adapter": "models/ControlNet",
    "embeddings": "embeddings",
    "hypernetworks": "models/hypernetworks",
    "text_encoders": "models/text_encoder",
}

LINEAGES = {
    "flux1-canny-depth-dev": "FLUX.1 canny or depth",
    "flux1-dev-fp8-all-in-one": "FLUX.1 dev checkpoint",
    "flux1-dev": "FLUX.1 dev",
    "flux1-fill-dev": "FLUX.1 fill",
    "flux1-schnell-fp8-all-in-one": "FLUX.1 schnell checkpoint",
    "flux1-schnell": "FLUX.1 schnell",
    "sd-x4-upscaler": "Stable Diffusion x4 upscaler",
    "sd3-medium-incl-clips-t5xxlfp16": "Stable Diffusion 3 checkpoint.",
    "sd3-medium-incl-clips-t5xxlfp8": "Stable Diffusion 3 checkpoint.",
    "sd3-medium-incl-clips": "Stable Diffusion 3 checkpoint.",
    "sd3-medium": "Stable Diffusion 3 checkpoint without text encoder",
    "sd35-large": "Stable Diffusion 3.5",
    "sd35-medium": "Stable Diffusion 3.5",
    "svd-img2vid": "Stable Video Diffusion",
}

CLAIMED = {
    "sd15": ("sd1", "base"),
    "sd15-with-ema": ("sd1", "base"),
    "sd15-inpainting": ("sd1", "inpainting"),
    "instruct-pix2pix": ("sd1", "pix2pix"),
    "sd2-inpainting": ("sd2", "inpainting"),
    "sd2-depth": ("sd2", "depth"),
    "sd21-unclip-h": ("sd2", "unclip"),
    "sd21-unclip-l": ("sd2", "unclip"),
    "sd21-768-v": ("sd2", "base"),
    "sd21-base-512": ("sd2", "base"),
    "sdxl-base": ("sdxl", "base"),
    "sdxl-inpainting": ("sdxl", "inpainting"),
    "sdxl-instruct-pix2pix": ("sdxl", "pix2pix"),
    "sdxl-refiner": ("sdxl", "refiner"),
}


def manifest(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as file:
        return json.load(file)


def header(path: Path, document: dict[str, Any]) -> Header:
    tensors = {name: TensorInfo(tuple(shape), dtype) for name, (shape, dtype) in document["tensors"].items()}
    return Header(path, tensors, document.get("metadata") or {})


@pytest.fixture(scope="module")
def manifests(shared_dir: Path) -> dict[str, dict[str, Header]]:
    found: dict[str, dict[str, Header]] = {}
    for path in sorted((shared_dir / "manifests").glob("*/*.json.gz")):
        name = path.name.removesuffix(".json.gz")
        found.setdefault(path.parent.name, {})[name] = header(path, manifest(path))
    return found


def edited(document: dict[str, Any], variant: dict[str, Any]) -> Iterator[tuple[str, TensorInfo]]:
    """Apply the name edits of a variant."""
    for name, (shape, dtype) in document["tensors"].items():
        if any(fnmatch(name, glob) for glob in variant.get("drop", ())):
            continue
        if "keep" in variant and not any(fnmatch(name, glob) for glob in variant["keep"]):
            continue
        for old, new in variant.get("rename", ()):
            if name.startswith(old):
                name = new + name.removeprefix(old)
                break
        yield name, TensorInfo(tuple(shape), dtype)


def test_whole_checkpoints_are_claimed_or_named(manifests: dict[str, dict[str, Header]]):
    assert manifests["checkpoints"].keys() == CLAIMED.keys() | LINEAGES.keys()
    for name, claimed in CLAIMED.items():
        family, match = identify(manifests["checkpoints"][name], {})
        assert (family.id, match.variant) == claimed, name
        assert (match.family, match.prediction) == (family.id, "v" if claimed[1] == "unclip" else "eps"), name
    for name, words in LINEAGES.items():
        with pytest.raises(UnsupportedCheckpoint, match="tried toy, sdxl, sd2, sd1") as caught:
            identify(manifests["checkpoints"][name], {})
        assert words in str(caught.value), name


def test_misplaced_files_are_sent_home(manifests: dict[str, dict[str, Header]]):
    for folder, home in BELONGS.items():
        for name, one in manifests[folder].items():
            assert home in str(describe(one)), f"{folder}/{name}"
            with pytest.raises(UnsupportedCheckpoint):
                identify(one, {})


def test_image_decoders_and_upscalers_are_sent_home(manifests: dict[str, dict[str, Header]]):
    for name, one in manifests["vae"].items():
        home = "VAE-approx" if name == "vae-approx" else "VAE-taesd" if name.startswith("taesd") else "models/VAE;"
        assert home.rstrip(";") in str(describe(one)), name
    for name, one in manifests["upscalers"].items():
        answer = str(describe(one))
        word = {"ESRGAN_x": "(ESRGAN)", "RealESRGAN": "(RealESRGAN)", "realesr": "(RealESRGAN)", "DAT": "(DAT)"}
        word |= {"HAT": "(HAT)", "Swin": "(SwinIR)", "ScuNET": "(ScuNET)", "GFPGAN": "(GFPGAN)", "facexlib": "a face"}
        word |= {"CodeFormer": "(CodeFormer)", "RestoreFormer": "(RestoreFormer)"}
        assert next(w for start, w in word.items() if name.startswith(start)) in answer, name


def test_parts_in_the_layout_of_diffusers_are_named(manifests: dict[str, dict[str, Header]]):
    for name, one in manifests["diffusers"].items():
        answer = str(describe(one))
        expected = "text encoder" if "encoder" in name else "VAE" if name.startswith("vae") else "layout of diffusers"
        assert expected in answer, name
    for one in manifests["clip_vision"].values():
        assert "image encoder (CLIP vision); put it in models/ControlNetPreprocessor" in str(describe(one))


def test_what_is_no_vae_is_sent_home_from_the_folder_of_vaes(manifests: dict[str, dict[str, Header]]):
    for folder in BELONGS.keys() - {"text_encoders"}:
        for name, one in manifests[folder].items():
            if name == "controlnet-sd15-v1.0-full":  # which holds a whole checkpoint besides
                continue
            with pytest.raises(UnsupportedCheckpoint, match=r"tried VAE.*" + BELONGS[folder]):
                load_vae(Tensors(one, {}.__getitem__), {}, build("cpu"))
            assert not find_parts(one), name
    for name in ("flux-ae", "sd3-vae"):
        with pytest.raises(UnsupportedCheckpoint, match=r"16 channels.*FLUX\.1"):
            load_vae(Tensors(manifests["vae"][name], {}.__getitem__), {}, build("cpu"))
    with pytest.raises(BrokenFile, match="post_quant_conv"):
        load_vae(
            Tensors(without(manifests["vae"]["sd-vae-compvis"], "post_quant_conv"), {}.__getitem__), {}, build("cpu")
        )


def without(one: Header, part: str) -> Header:
    return Header(one.path, {name: info for name, info in one.tensors.items() if part not in name}, {})


def test_variants_of_one_layout(shared_dir: Path):
    path = shared_dir / "manifests" / "checkpoints" / "sd15.json.gz"
    document = manifest(path)
    variants = {one["name"]: one for one in document["variants"]}

    def variant(name: str) -> Header:
        return Header(path, dict(edited(document, variants[name])), {})

    for name in ("fp16-pruned", "no-position-ids", "no-text-model-level", "no-vae"):
        assert identify(variant(name), {})[0].id == "sd1", name
    with pytest.raises(UnsupportedCheckpoint, match="Stable Diffusion 1 checkpoint without text encoder"):
        identify(variant("no-clip"), {})
    with pytest.raises(UnsupportedCheckpoint, match="only the denoising network of a Stable Diffusion 1"):
        identify(variant("unet-only-bare"), {})


def test_nothing_known_is_said_so(tmp_path: Path):
    one = Header(tmp_path / "x.safetensors", {"weights": TensorInfo((3, 4, 5), "F32")}, {})
    assert describe(one) is None
    with pytest.raises(UnsupportedCheckpoint, match=r"x\.safetensors.*known lineage"):
        identify(one, {})
    assert describe(Header(tmp_path / "x.safetensors", {}, {})) == "It holds no tensors."


def sd15(shared_dir: Path) -> Header:
    path = shared_dir / "manifests" / "checkpoints" / "sd15.json.gz"
    return header(path, manifest(path))


def test_prediction_comes_from_yaml_then_metadata_then_markers(shared_dir: Path):
    plain = sd15(shared_dir)
    v_yaml = {"model": {"params": {"parameterization": "v"}}}
    eps_yaml = {"model": {"params": {"parameterization": "eps"}}}
    marked = Header(plain.path, {**plain.tensors, "v_pred": TensorInfo((0,), "F32")}, {})
    metadata = Header(plain.path, plain.tensors, {"modelspec.prediction_type": "v"})
    epsilon = Header(plain.path, marked.tensors, {"modelspec.prediction_type": "epsilon"})

    def prediction(one: Header, config: dict[str, Any]) -> str:
        return identify(one, config)[1].prediction

    assert prediction(plain, {}) == "eps"
    assert prediction(plain, v_yaml) == "v"
    assert prediction(marked, {}) == "v"
    assert prediction(metadata, {}) == "v"
    assert prediction(metadata, eps_yaml) == "eps"
    assert prediction(epsilon, {}) == "eps"
    with pytest.raises(BrokenFile, match="parameterization 'flow'"):
        prediction(plain, {"model": {"params": {"parameterization": "flow"}}})


def test_facts_that_shapes_cannot_tell(shared_dir: Path):
    config = {
        "model": {
            "params": {
                "linear_start": "8.5e-4",
                "linear_end": 0.02,
                "timesteps": 500,
                "scale_factor": 0.5,
                "unet_config": {"params": {"num_heads": -1, "num_head_channels": 16, "norm_groups": 8}},
                "first_stage_config": {"params": {"ddconfig": {"norm_groups": 2}}},
                "cond_stage_config": {"params": {"num_heads": 4}},
            }
        }
    }
    one = sd15(shared_dir)
    marked = Header(one.path, {**one.tensors, "ztsnr": TensorInfo((0,), "F32")}, {})
    assert identify(marked, config)[1].config == {
        "unet_head_channels": 16,
        "unet_norm_groups": 8,
        "vae_norm_groups": 2,
        "text_heads": 4,
        "beta_start": 8.5e-4,
        "beta_end": 0.02,
        "timesteps": 500,
        "latent_scale": 0.5,
        "zero_terminal_snr": True,
    }


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"linear_start": "much"}, "linear_start must be a number"),
        ({"timesteps": 0}, "timesteps must be a number from 1"),
        ({"timesteps": 1.5}, "timesteps must be a whole number"),
        ({"scale_factor": True}, "scale_factor"),
        ({"unet_config": {"params": {"num_heads": [8]}}}, "num_heads"),
    ],
)
def test_wrong_numbers_in_the_yaml_are_named(shared_dir: Path, params: dict[str, Any], complaint: str):
    with pytest.raises(BrokenFile, match=complaint):
        identify(sd15(shared_dir), {"model": {"params": params}})


def test_detection_order_names_every_family_once():
    ids = [family.id for family in families()]
    assert ids == ["toy", "sdxl", "sd2", "sd1"]
