"""Runs of an instruct-pix2pix checkpoint, in the real layout with eight input channels."""

import io
import json
import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.domain.request import (
    BatchSpec,
    Generation,
    GuidanceSpec,
    ImageRef,
    InitSpec,
    ModelChoice,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.families import identify_files
from modules.families.family import Files
from modules.families.openclip import OpenClipConfig
from modules.families.sd1.keys import TextConfig
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.families.sdxl.text import TextEncoders
from modules.imaging.infotext_parse import parse_infotext
from tests.families.narrow_files import CONFIG, build, tensors_of, unet_sizes
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.workshop import Studio, open_studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    opened = open_studio(tmp_path_factory.mktemp("data"))
    make_narrow_checkpoint(opened.models / "editor.safetensors", in_channels=8)
    opened.shop.shelf().catalog.refresh()
    return opened


def edit(scale: float | None, *, prompt: str = "make it red", number: int = 1, sampler: str = "Euler") -> Generation:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 48, 3), np.uint8)).save(buffer, "PNG")
    return Generation(
        prompt=prompt,
        negative_prompt="blurry",
        size=Size(width=48, height=32),
        seed=SeedSpec(seed=7),
        sampling=SamplingSpec(sampler=sampler, steps=3),
        guidance=GuidanceSpec(cfg_scale=7.5),
        batch=BatchSpec(size=number),
        model=ModelChoice(checkpoint="editor"),
        init=InitSpec(images=(ImageRef.of(buffer.getvalue()),), denoising_strength=1.0, image_cfg_scale=scale),
    )


def pixels(outcome: Outcome, number: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[number].data))).astype(int)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "DDIM CFG++"])
def test_the_scale_of_the_picture_counts_and_is_told(studio: Studio, sampler: str) -> None:
    plain, scaled = studio.make(edit(1.0, sampler=sampler)), studio.make(edit(9.0, sampler=sampler))
    assert np.abs(pixels(plain) - pixels(scaled)).max() > 2
    assert [parse_infotext(made.images[0].infotext)["Image CFG scale"] for made in (plain, scaled)] == ["1.0", "9.0"]


def test_no_scale_is_that_of_the_prompt(studio: Studio) -> None:
    made = studio.make(edit(None))
    assert np.array_equal(pixels(made), pixels(studio.make(edit(1.0))))
    assert "Image CFG scale" not in made.images[0].infotext


def test_a_batch_of_edits_equals_single_runs(studio: Studio) -> None:
    both, alone = studio.make(edit(1.5, number=2)), studio.make(edit(1.5))
    assert np.abs(pixels(both) - pixels(alone)).max() <= 1


def test_joined_instructions_are_refused_with_a_scale(studio: Studio) -> None:
    with pytest.raises(InvalidRequest, match="AND"):
        studio.make(edit(1.5, prompt="red AND round"))
    studio.make(edit(1.0, prompt="red AND round"))


@pytest.mark.parametrize(("levels", "factor"), [(False, 1.0), (True, 0.13025)])
def test_editing_checkpoints_of_sdxl_are_shown_the_picture(
    levels: bool, factor: float, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=20)
    small = TextConfig(width=16, layers=2, heads=4, mlp_width=32)
    tensors = tensors_of(
        "conditioner.",
        TextEncoders(small, large),
        unet_sizes(context_dim=40, vector_dim=20 + 6 * 256, in_channels=8),
    )
    if levels:
        tensors["edm_vpred.sigma_max"] = torch.tensor(80.0)
    name = f"editor-xl-{levels}"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, studio.models / f"{name}.safetensors")
    (studio.models / f"{name}.yaml").write_text(json.dumps(CONFIG))
    studio.shop.shelf().catalog.refresh()
    seen: list[tuple[Tensor, Tensor]] = []
    run = UNet.forward

    def watched(self: UNet, x: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        seen.append((x.clone(), t.clone()))
        return run(self, x, t, *more)

    monkeypatch.setattr(UNet, "forward", watched)
    studio.make(replace(edit(None), model=ModelChoice(checkpoint=name)))
    wanted = Files(checkpoint=studio.models / f"{name}.safetensors", config=studio.models / f"{name}.yaml")
    family, match = identify_files(wanted)
    model = family.load(wanted, match, build("cpu"))
    picture = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (32, 48, 3), np.uint8)) / 127.5 - 1
    with torch.inference_mode():
        mean, _ = cast(VAE, model.vae).encode(picture.movedim(2, 0)[None])
    torch.testing.assert_close(seen[0][0][:1, 4:], mean * factor, atol=1e-4, rtol=1e-4)
    assert float(seen[0][1][0]) == pytest.approx(math.log(80.0) / 4 if levels else 999, abs=1e-3)
