"""Stable Diffusion 2 depth: its files, the estimator in them, and the depth as diffusers prepares it."""

import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from modules.domain.errors import BrokenFile
from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.depth import DepthEye, depth_input, fitted
from modules.families.family import Files
from modules.families.openclip import OpenClip, OpenClipConfig
from modules.families.sd1.network import UNet
from modules.library.header import read_header
from modules.nn.midas import Midas, MidasConfig
from modules.nn.torchvision_guard import ensure_torchvision_importable
from tests.families.narrow_files import (
    CONFIG,
    build,
    load_without_weights,
    loaded,
    manifest_header,
    tensors_of,
    unet_sizes,
)
from tests.families.test_sd1_networks import oracle_unet

TEXT = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=24)
ESTIMATOR = MidasConfig(
    stem=32, stages=((1, 128), (1, 128), (1, 128)), width=32, layers=4, mlp_width=32, positions=10, features=16,
    head=(16, 8),
)  # fmt: skip
NEVER_RUN = ("depth_model.model.pretrained.model.norm.*", "depth_model.model.pretrained.model.head.*",
             "depth_model.model.scratch.refinenet4.resConfUnit1.*")  # fmt: skip
SCHEDULE = (
    "*alphas_cumprod*",
    "betas",
    "posterior_*",
    "model_ema.*",
    "*.logit_scale",
    "*.attn_mask",
    "sqrt_*",
    "log_*",
)


@pytest.fixture(autouse=True)
def _quiet_oracle() -> Iterator[None]:
    ensure_torchvision_importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def unet_tensors() -> dict[str, Tensor]:
    """A narrow checkpoint without an estimator."""
    return tensors_of("cond_stage_model.", OpenClip(TEXT), unet_sizes(context_dim=24, in_channels=5))


def estimator_tensors(prefix: str) -> dict[str, Tensor]:
    """The tensors of a small estimator, with those that never run."""
    generator = torch.Generator().manual_seed(3)
    found = {
        prefix + name: 0.2 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in Midas(ESTIMATOR).state_dict().items()
    }
    found[f"{prefix}pretrained.model.norm.weight"] = torch.ones(32)
    found[f"{prefix}pretrained.model.head.bias"] = torch.ones(7)
    found[f"{prefix}scratch.refinenet4.resConfUnit1.conv1.bias"] = torch.ones(16)
    return found


def depth_file() -> dict[str, Tensor]:
    return unet_tensors() | estimator_tensors("depth_model.model.")


def test_the_public_file_needs_nothing_else(shared_dir: Path, monkeypatch: pytest.MonkeyPatch):
    header = manifest_header(shared_dir, "sd2-depth")
    model, unread = load_without_weights(header, monkeypatch)
    assert (model.match.variant, model.match.prediction) == ("depth", "eps")
    assert not {key for key in unread if not any(fnmatch(key, one) for one in (*SCHEDULE, *NEVER_RUN))}
    assert sum(p.numel() for p in model.unet.parameters()) == 865_913_604
    assert isinstance(model.eye, DepthEye)
    assert model.eye.model.config == MidasConfig()
    assert model.eye.model.config.heads == 12


def test_the_estimator_of_the_file_looks_at_the_picture(tmp_path: Path):
    model = loaded(tmp_path / "depth.safetensors", depth_file())
    assert isinstance(model.eye, DepthEye)
    picture = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        seen = model.eye.look(picture, (8, 12))["concat"]
        raw = model.eye.model(fitted(picture))
    assert raw.shape == (2, 1, 256, 384)
    torch.testing.assert_close(seen, depth_input(raw, (8, 12)))
    assert (seen.amin((1, 2, 3)).tolist(), seen.amax((1, 2, 3)).tolist()) == ([-1, -1], [1, 1])


def test_the_network_equals_that_of_diffusers_with_depth_as_fifth_channel(tmp_path: Path):
    model = loaded(tmp_path / "depth.safetensors", depth_file())
    theirs = oracle_unet(cast(UNet, model.unet))
    generator = torch.Generator().manual_seed(4)
    x, depth = torch.randn(2, 4, 8, 8, generator=generator), torch.rand(2, 1, 8, 8, generator=generator)
    t = torch.tensor([3.0, 741.0])
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat", "a dog"], TextOptions())
        network = model.family.network(model, False)
        told = type(rows)(tokens=rows.tokens, extras={"concat": depth})
        expected = theirs(torch.cat([x, depth], dim=1), t, rows.tokens).sample
        torch.testing.assert_close(network(x, t, told), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
        flat = theirs(torch.cat([x, torch.zeros_like(depth)], dim=1), t, rows.tokens).sample
        torch.testing.assert_close(network(x, t, rows), flat, atol=1e-5 * float(flat.abs().max()), rtol=0)


@pytest.mark.parametrize("size", [(64, 96), (384, 384), (40, 24)])
def test_depth_is_prepared_as_in_diffusers(size: tuple[int, int]):
    pipelines = import_module("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_depth2img")
    depth = 300 * torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(5)) + 40
    expected = pipelines.StableDiffusionDepth2ImgPipeline.prepare_depth_map(
        SimpleNamespace(vae_scale_factor=8), [Image.new("RGB", (96, 64))], depth[:, 0], 1, False,
        torch.float32, torch.device("cpu"),
    )  # fmt: skip
    torch.testing.assert_close(depth_input(depth, (8, 12)), expected, atol=1e-5, rtol=0)


def test_a_depth_that_is_the_same_everywhere_is_a_number():
    assert torch.equal(depth_input(torch.full((1, 1, 32, 32), 7.0), (4, 4)), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((512, 512), (384, 384)), ((512, 768), (384, 576)), ((768, 512), (576, 384)), ((100, 380), (96, 384)),
     ((2048, 400), (1952, 384)), ((8, 600), (32, 384))],
)  # fmt: skip
def test_the_side_that_changes_less_becomes_384(size: tuple[int, int], wanted: tuple[int, int]):
    assert fitted(torch.zeros(1, 3, *size)).shape[-2:] == wanted


def test_an_estimator_that_lacks_a_part_is_refused(tmp_path: Path):
    tensors = {key: t for key, t in depth_file().items() if not key.endswith("layer1_rn.weight")}
    with pytest.raises(BrokenFile, match=r"layer1_rn.weight is missing"):
        loaded(tmp_path / "a.safetensors", tensors)
    tensors = {key: t for key, t in depth_file().items() if not key.endswith("refinenet2.out_conv.bias")}
    with pytest.raises(BrokenFile, match="1 depth estimator tensors are missing"):
        loaded(tmp_path / "b.safetensors", tensors)


def test_an_estimator_in_a_file_of_its_own_takes_the_place_of_one_that_is_missing(tmp_path: Path):
    path = tmp_path / "depth.safetensors"
    assert loaded(path, unet_tensors()).eye is None
    (tmp_path / "midas").mkdir()
    torch.save(estimator_tensors(""), tmp_path / "midas" / "dpt_hybrid-midas-501f0c75.pt")
    family, match = identify(read_header(path), CONFIG)
    beside = family.load(Files(checkpoint=path, models=tmp_path), match, build("cpu")).eye
    save_file(depth_file(), path)
    inside = family.load(Files(checkpoint=path), match, build("cpu")).eye
    picture = torch.rand(1, 3, 64, 64)
    assert beside is not None
    assert inside is not None
    with torch.inference_mode():
        torch.testing.assert_close(beside.look(picture, (8, 8)), inside.look(picture, (8, 8)))
