"""Stable Diffusion 2 in float16: its attention has scores that this format cannot hold."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.family import Components, Files
from modules.families.openclip import OpenClip, OpenClipConfig
from modules.families.sd1.network import UNet
from modules.library.header import read_header
from modules.nn.attention.backend import Attend, Backend
from modules.nn.attention.plain import PLAIN
from modules.nn.attention.sdpa import SDPA, SDPA_NO_MEM
from modules.nn.attention.select import in_float32, with_wide_scores
from modules.nn.attention.split import split
from modules.nn.attention.subquadratic import subquadratic
from tests.families.narrow_files import CONFIG, build, tensors_of, unet_sizes

TEXT = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=24)
BACKENDS = (PLAIN, SDPA, SDPA_NO_MEM, split(), subquadratic(), in_float32(PLAIN))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose queries and keys are long, so that their products exceed 65504."""
    tensors = tensors_of("cond_stage_model.", OpenClip(TEXT), unet_sizes(context_dim=24))
    for name, tensor in tensors.items():
        if name.startswith("model.diffusion_model.") and name.endswith(("to_q.weight", "to_k.weight")):
            tensor *= 1500
    path = tmp_path_factory.mktemp("models") / "long.safetensors"
    save_file(tensors, path)
    return path


def load(path: Path, attend: Attend, dtype: torch.dtype) -> Components:
    family, match = identify(read_header(path), CONFIG)
    return family.load(Files(checkpoint=path), match, replace(build("cpu"), attend=attend, dtype=dtype))


def run(model: Components) -> Tensor:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat"], TextOptions())
        return model.family.network(model, False)(x, torch.tensor([300.0]), rows)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_no_attention_gives_nan(backend: Backend, checkpoint: Path):
    whole, half = (run(load(checkpoint, backend, dtype)) for dtype in (torch.float32, torch.float16))
    assert half.isfinite().all()
    assert float((half - whole).abs().mean() / whole.abs().mean()) < 0.3


def test_the_same_attention_without_help_gives_nan(checkpoint: Path):
    model = load(checkpoint, PLAIN, torch.float16)
    helped = cast(UNet, model.unet)
    bare = UNet(helped.config, attend=PLAIN).half().requires_grad_(False)
    bare.load_state_dict(helped.state_dict())
    model.unet = bare
    assert not run(model).isfinite().all()


def test_only_half_precision_is_widened():
    seen: list[torch.dtype] = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen.append(q.dtype)
        return v

    q = torch.ones(1, 1, 2, 4)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        one = q.to(dtype)
        assert with_wide_scores(attend)(one, one, one).dtype is dtype
        with_wide_scores(Backend(name="fused", attend=attend, wide_scores=True))(one, one, one)
    half, bfloat, full = torch.float16, torch.bfloat16, torch.float32
    assert seen == [full, half, bfloat, bfloat, full, full]
