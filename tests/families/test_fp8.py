"""Weights of 8 bits: kept as they are stored, rounded on request, and computed with as their values say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families import identify_files
from modules.families.family import Build, Components, Files
from modules.families.openclip import OpenClip, OpenClipConfig
from modules.families.sd1.network import UNet
from modules.nn.eight_bit import FORMATS, StoredConv2d, StoredLinear, Storing, full_weight, put_weight
from modules.nn.patches.merge import Use
from modules.nn.patches.whole import Difference
from modules.nn.patches.worn import Worn
from modules.sampling.types import Conditioning
from tests.families.narrow_files import CONFIG, build, tensors_of, unet_sizes

UNET = "model.diffusion_model."
E4M3, E5M2 = FORMATS


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    text = OpenClip(OpenClipConfig(width=24, layers=3, heads=4, mlp_width=48, projection=24))
    return tensors_of("cond_stage_model.", text, unet_sizes(context_dim=24))


def is_rounded(name: str, tensor: Tensor) -> bool:
    return name.startswith(UNET) and tensor.ndim > 1


def loaded(tmp_path: Path, tensors: dict[str, Tensor], made: Build | None = None) -> Components:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    path.with_suffix(".yaml").write_text(str(CONFIG))
    files = Files(checkpoint=path, config=path.with_suffix(".yaml"))
    family, match = identify_files(files)
    return family.load(files, match, made or build("cpu"))


def answer(model: Components, *, tiling: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, tokens = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 5, 24, generator=generator)
    with torch.inference_mode():
        return model.family.network(model, tiling)(x, torch.tensor([3.0, 700.0]), Conditioning(tokens=tokens))


def layers(model: Components) -> dict[str, nn.Module]:
    assert isinstance(model.unet, UNet)
    return {name: one for name, one in model.unet.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)}


def formats(model: Components) -> set[torch.dtype]:
    return {layer.weight.dtype for layer in layers(model).values() if isinstance(layer.weight, Tensor)}


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_file_in_8_bits_stays_so_and_computes_what_its_values_say(
    dtype: torch.dtype, tensors: dict[str, Tensor], tmp_path: Path
):
    small = {name: t.to(dtype) if is_rounded(name, t) else t for name, t in tensors.items()}
    model, wide = loaded(tmp_path, small), loaded(tmp_path, {name: t.float() for name, t in small.items()})
    assert formats(model) == {dtype}
    assert formats(wide) == {torch.float32}
    for tiling in (False, True):
        torch.testing.assert_close(answer(model, tiling=tiling), answer(wide, tiling=tiling), atol=0, rtol=0)
    everything = {name: t.to(dtype) if name.startswith(UNET) else t for name, t in tensors.items()}
    whole = loaded(tmp_path, everything)
    assert {p.dtype for p in whole.unet.parameters()} == {dtype, torch.float32}  # norms and biases compute as they are
    assert answer(whole).isfinite().all()


def test_values_are_multiplied_by_their_scale(tensors: dict[str, Tensor], tmp_path: Path):
    stored, wide = dict[str, Tensor](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        stored[name] = wide[name] = tensor
        if is_rounded(name, tensor) and name.endswith(".weight"):
            by_row = tensor.ndim == 2
            scale = tensor.abs().amax(dim=1) / 448 if by_row else tensor.abs().max() / 448
            factor = scale[:, None] if by_row else scale
            stored[name] = (tensor / factor).to(E4M3)
            stored[f"{name.removesuffix('.weight')}.scale_weight"] = scale
            stored[f"{name.removesuffix('.weight')}.scale_input"] = torch.ones(())
            wide[name] = stored[name].float() * factor
    stored["scaled_fp8"] = torch.zeros(0).to(E4M3)
    model = loaded(tmp_path, stored)
    assert formats(model) == {E4M3}
    torch.testing.assert_close(answer(model), answer(loaded(tmp_path, wide)), atol=1e-5, rtol=1e-5)
    unscaled = loaded(tmp_path, {name: t for name, t in stored.items() if "scale" not in name})
    assert not torch.allclose(answer(model), answer(unscaled), atol=1e-2)


def test_weights_are_rounded_when_that_is_asked_for(tensors: dict[str, Tensor], tmp_path: Path):
    model = loaded(tmp_path, tensors, replace(build("cpu"), fp8=True))
    rounded = {name: t.half().to(E4M3).float() if is_rounded(name, t) else t for name, t in tensors.items()}
    assert formats(model) == {E4M3}
    torch.testing.assert_close(answer(model), answer(loaded(tmp_path, rounded)), atol=0, rtol=0)
    assert {p.dtype for p in (*model.vae.parameters(), *model.text.parameters())} == {torch.float32}


@pytest.mark.parametrize("keep", [True, False])
def test_what_was_rounded_may_be_remembered_for_patches(keep: bool, tensors: dict[str, Tensor], tmp_path: Path):
    model = loaded(tmp_path, tensors, replace(build("cpu"), fp8=True, keep_half=keep))
    for name, layer in layers(model).items():
        assert isinstance(layer, StoredLinear | StoredConv2d)
        half = tensors[f"{UNET}{name}.weight"].half()
        assert full_weight(layer, layer.weight).equal(half if keep else half.to(E4M3).half())


def test_values_too_large_for_8_bits_stay_numbers():
    layer = StoredLinear(2, 1, bias=False)
    weight = put_weight(layer, torch.tensor([[1000.0, -70000.0]]), None, Storing(round_all=True))
    assert weight.float().tolist() == [[448, -448]]


@pytest.mark.parametrize("scale", [None, torch.tensor(4.0)])
def test_patches_are_added_to_the_full_values_and_taken_away_again(scale: Tensor | None):
    layer = StoredLinear(3, 2, bias=False)
    stored = torch.tensor([[1.0, 2, 3], [4, 5, 6]]).to(E5M2)
    layer.weight = nn.Parameter(put_weight(layer, stored, scale, Storing()), requires_grad=False)
    before, factor = layer(torch.eye(3)), 1.0 if scale is None else 4.0
    worn = Worn(nn.ModuleDict({"x": layer}))
    patch = Difference(diff=torch.full((2, 3), 8.0))
    worn.wear({"x.weight": [Use(patch=patch, source="a", strength=1.0)]})
    assert layer.weight.dtype is E5M2
    expected = ((stored.float() * factor + 8) / factor).to(E5M2).float() * factor
    assert layer(torch.eye(3)).T.equal(expected)
    worn.wear({})
    assert layer(torch.eye(3)).equal(before)


def test_layers_compute_in_the_format_of_what_they_are_given():
    layer = StoredLinear(3, 2).requires_grad_(False)
    layer.weight = nn.Parameter(layer.weight.to(E5M2), requires_grad=False)
    x = torch.randn(4, 3, dtype=torch.bfloat16)
    assert layer(x).equal(F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype)))
    assert layer(x).dtype is torch.bfloat16
    assert layer.to("meta").weight.dtype is E5M2
