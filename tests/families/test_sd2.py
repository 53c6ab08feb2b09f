"""Stable Diffusion 2: its files, its text encoder in place, and how its prediction is found out."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.facts import native_size
from modules.families.openclip import OpenClip, OpenClipConfig
from modules.families.sd1.network import UNet
from modules.families.sd2 import load
from modules.library.header import Header, TensorInfo
from modules.library.tensors import Tensors
from tests.families.compvis import openclip_to_transformers
from tests.families.narrow_files import (
    CONFIG,
    load_without_weights,
    loaded,
    manifest_header,
    tensors_of,
    unet_sizes,
    variant_headers,
)

TEXT = OpenClipConfig(width=24, layers=4, heads=4, mlp_width=48, projection=24)
SCHEDULE = "*alphas_cumprod*", "betas", "posterior_*", "model_ema.*", "*.logit_scale", "*.attn_mask"
"""What checkpoints hold besides networks."""


def sd2(*, in_channels: int = 4, prefix: str = "cond_stage_model.") -> dict[str, Tensor]:
    """A narrow checkpoint with the full vocabulary."""
    return tensors_of(prefix, OpenClip(TEXT), unet_sizes(context_dim=24, in_channels=in_channels))


def without_last_block(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    gone = ("*.resblocks.3.*", "*.text_projection")
    return {key: t for key, t in tensors.items() if not any(fnmatch(key, one) for one in gone)}


def test_text_is_read_before_the_last_layer_and_normalised(tmp_path: Path):
    model = loaded(tmp_path / "sd2.safetensors", sd2())
    assert isinstance(model.text, OpenClip)
    theirs = openclip_to_transformers(model.text)
    ids = torch.tensor([[49406, *model.tokenizer.encode("a cat on a mat"), 49407]])
    ids = torch.nn.functional.pad(ids, (0, 77 - ids.shape[1]))
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat on a mat"], TextOptions())
        layers = theirs(ids, output_hidden_states=True).hidden_states
        expected = theirs.text_model.final_layer_norm(layers[-2])
        torch.testing.assert_close(rows.tokens, expected, atol=1e-5, rtol=0)
        assert torch.equal(
            model.family.condition(model, ["a cat on a mat"], TextOptions(clip_skip=3)).tokens, rows.tokens
        )
        x, t = torch.randn(2, 4, 6, 10), torch.tensor([10.0, 500.0])
        two = model.family.condition(model, ["a", "b"], TextOptions())
        assert model.family.network(model, False)(x, t, two).isfinite().all()
    assert not rows.extras
    assert model.latent.scale == 0.18215


@pytest.mark.parametrize("prefix", ["cond_stage_model.", "conditioner.embedders.0."])
def test_files_without_the_unused_layer_read_the_same(prefix: str, tmp_path: Path):
    tensors = sd2(prefix=prefix)
    whole = loaded(tmp_path / "whole.safetensors", tensors)
    short = loaded(tmp_path / "short.safetensors", without_last_block(tensors))
    with torch.inference_mode():
        read = [one.family.condition(one, ["a cat"], TextOptions()).tokens for one in (whole, short)]
    assert torch.equal(*read)


def test_an_inpainting_model_takes_nine_channels(tmp_path: Path):
    model = loaded(tmp_path / "sd2.safetensors", sd2(in_channels=9))
    assert model.match.variant == "inpainting"
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat"], TextOptions())
        assert model.family.network(model, False)(torch.randn(1, 4, 4, 4), torch.tensor([9.0]), rows).isfinite().all()


@pytest.mark.parametrize(
    ("name", "unet"),
    [("sd21-768-v", 865_910_724), ("sd21-base-512", 865_910_724), ("sd2-inpainting", 865_925_124)],
)
def test_public_files_hold_these_networks_and_nothing_else(
    name: str, unet: int, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    model, unread = load_without_weights(manifest_header(shared_dir, name), monkeypatch)
    assert not {key for key in unread if not any(fnmatch(key, one) for one in (*SCHEDULE, "sqrt_*", "log_*"))}
    assert sum(p.numel() for p in model.unet.parameters()) == unet
    assert sum(p.numel() for p in model.text.parameters()) == 354_032_640
    assert isinstance(model.text, OpenClip)
    assert (model.text.config.heads, model.text.read_layers) == (16, 23)
    assert isinstance(model.unet, UNet)
    assert model.unet.config.linear_projection
    assert model.unet.config.num_head_channels == 64


def test_pruned_files_are_whole(shared_dir: Path, monkeypatch: pytest.MonkeyPatch):
    found = variant_headers(shared_dir, "sd21-768-v")
    for name in ("fp16-pruned", "no-last-block"):
        model, _ = load_without_weights(found[name], monkeypatch)
        assert isinstance(model.text, OpenClip)
        assert model.text.read_layers == 23


def test_a_text_encoder_in_another_layout_is_refused_by_name(shared_dir: Path):
    plain = manifest_header(shared_dir, "sd21-base-512")
    tensors = {key: info for key, info in plain.tensors.items() if not key.startswith("cond_stage_model.")}
    tensors["cond_stage_model.transformer.text_model.final_layer_norm.weight"] = TensorInfo((1024,), "F32")
    with pytest.raises(UnsupportedCheckpoint, match="text encoder in the layout of transformers"):
        identify(Header(plain.path, tensors, {}), {})


@pytest.mark.parametrize(("spread", "prediction"), [(0.02, "eps"), (0.2, "v")])
def test_weights_tell_what_is_predicted(spread: float, prediction: str, tmp_path: Path):
    values = spread * torch.linspace(-1, 1, 320) / torch.linspace(-1, 1, 320).std(correction=0)
    info = TensorInfo((320,), "F16")
    file = Tensors(Header(tmp_path / "x", {load.TELL_TALE: info}, {}), lambda _name: values.half())
    assert load.predicted(file) == prediction


def test_the_weights_are_asked_only_where_nothing_is_stated(shared_dir: Path, tmp_path: Path, monkeypatch):
    plain = manifest_header(shared_dir, "sd21-768-v")
    v_yaml = {"model": {"params": {"parameterization": "v", "image_size": 64}}}
    assert identify(plain, {})[1].config["prediction_by_weights"] is True
    stated = identify(plain, v_yaml)[1]
    assert (stated.prediction, native_size(stated.config)) == ("v", 768)
    assert "prediction_by_weights" not in stated.config
    inpainting = identify(manifest_header(shared_dir, "sd2-inpainting"), {})[1]
    assert inpainting.prediction == "eps"
    assert "prediction_by_weights" not in inpainting.config
    monkeypatch.setattr(load, "predicted", lambda _file: "v")
    model = loaded(tmp_path / "v.safetensors", sd2())
    assert (model.match.prediction, model.prediction.target.value) == ("v", "v")
    eps = {"model": {"params": {**CONFIG["model"]["params"], "parameterization": "eps"}}}
    assert loaded(tmp_path / "eps.safetensors", sd2(), eps).prediction.target.value == "eps"


def test_files_that_lack_a_part_are_refused(tmp_path: Path):
    tensors = {key: t for key, t in sd2().items() if not key.endswith("resblocks.1.attn.in_proj_weight")}
    with pytest.raises(BrokenFile, match="1 text encoder tensors are missing"):
        loaded(tmp_path / "sd2.safetensors", tensors)
