"""Runs of depth and unCLIP checkpoints, in the real layout with narrow networks."""

import io
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.domain.request import (
    BatchSpec,
    ExtendSpec,
    Generation,
    GuidanceSpec,
    HiresSpec,
    ImageRef,
    InitSpec,
    LookSpec,
    MaskSpec,
    ModelChoice,
    RefinerSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.families.depth import depth_input
from modules.families.sd1.network import UNet
from modules.imaging.infotext_parse import parse_infotext
from tests.families.narrow_files import CONFIG
from tests.families.test_sd2_depth import depth_file, unet_tensors
from tests.families.test_sd2_unclip import unclip_file
from tests.pipeline.workshop import Studio, open_studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    opened = open_studio(tmp_path_factory.mktemp("data"))
    files = {"depth": depth_file(), "blind": unet_tensors(), "unclip": unclip_file()}
    for name, tensors in files.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, opened.models / f"{name}.safetensors")
        (opened.models / f"{name}.yaml").write_text(yaml.safe_dump(CONFIG))
    opened.shop.shelf().catalog.refresh()
    return opened


def png(pixels: np.ndarray) -> ImageRef:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return ImageRef.of(buffer.getvalue())


def noise_picture(seed: int) -> ImageRef:
    return png(np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8))


def wanted(model: str, *, init: InitSpec | None = None, seed: int = 7, **more: Any) -> Generation:
    return Generation(
        prompt="a red circle",
        negative_prompt="blurry",
        size=Size(width=48, height=32),
        seed=SeedSpec(seed=seed),
        sampling=SamplingSpec(sampler="Euler", steps=2),
        guidance=GuidanceSpec(cfg_scale=4),
        model=ModelChoice(checkpoint=model),
        init=init,
        **more,
    )


def from_picture(*, seed: int = 3, **more: Any) -> InitSpec:
    return InitSpec(images=(noise_picture(seed),), denoising_strength=1.0, **more)


def pixels(outcome: Outcome, number: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[number].data))).astype(int)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor | None]]:
    """What the denoising network got: x [B, C, h, w], and what it was told besides the text."""
    seen: list[tuple[Tensor, Tensor | None]] = []
    plain = UNet.forward

    def forward(self: UNet, x: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None) -> Tensor:
        seen.append((x.clone(), None if y is None else y.clone()))
        return plain(self, x, t, context, y)

    monkeypatch.setattr(UNet, "forward", forward)
    return seen


def test_both_sides_see_the_estimated_depth(studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]) -> None:
    studio.make(wanted("depth", init=from_picture()))
    for x, _ in inputs:
        assert x.shape[1] == 5
        depth = x[:, 4]
        assert torch.equal(depth[0], depth[1])
        assert (float(depth.min()), float(depth.max())) == (-1, 1)


def test_a_depth_map_takes_the_place_of_the_estimate(
    studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]
) -> None:
    grey = np.tile(np.linspace(20, 240, 96).astype(np.uint8), (64, 1))
    look = LookSpec(depth=png(grey))
    for model in ("depth", "blind"):
        studio.make(wanted(model, init=from_picture(look=look)))
    small = Image.fromarray(grey).resize((48, 32), Image.Resampling.LANCZOS)
    expected = depth_input(torch.from_numpy(np.asarray(small, dtype=np.float32))[None, None], (4, 6))
    for x, _ in inputs:
        torch.testing.assert_close(x[:1, 4:], expected, atol=0.02, rtol=0)


def test_a_depth_map_follows_the_picture_into_the_crop(
    studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]
) -> None:
    grey = np.zeros((32, 48), np.uint8)
    grey[:, 24:] = np.linspace(0, 255, 32).astype(np.uint8)[:, None]
    hole = np.zeros((32, 48), np.uint8)
    hole[8:24, 32:44] = 255
    mask = MaskSpec(image=png(hole), only_masked=True, padding=0, blur_x=0, blur_y=0)
    studio.make(wanted("depth", init=from_picture(look=LookSpec(depth=png(grey))), mask=mask))
    depth = inputs[0][0][0, 4]
    assert bool((depth.diff(dim=0) > 0).all())  # only the half that grows downwards is left
    assert float(depth.diff(dim=1).abs().max()) < 0.05
    inputs.clear()
    wide = MaskSpec(extend=ExtendSpec(left=16, overlap=0))
    studio.make(wanted("depth", init=from_picture(look=LookSpec(depth=png(grey))), mask=wide))
    assert inputs[0][0].shape[-1] == 8


def test_a_batch_equals_single_runs(studio: Studio) -> None:
    look = LookSpec(noise=200)
    for model in ("depth", "unclip"):
        init = from_picture(look=look)
        both = studio.make(wanted(model, init=init, batch=BatchSpec(size=2)))
        alone = [studio.make(wanted(model, init=init, seed=seed)) for seed in (7, 8)]
        for number, one in enumerate(alone):
            assert np.abs(pixels(both, number) - pixels(one)).max() <= 1


def test_a_model_that_cannot_look_says_what_is_missing(studio: Studio) -> None:
    with pytest.raises(InvalidRequest, match=r"blind brings no depth estimator: put .* into models/midas"):
        studio.make(wanted("blind", init=from_picture()))
    assert len(studio.make(wanted("blind")).images) == 1


def test_only_the_prompt_is_told_what_the_picture_means(
    studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]
) -> None:
    studio.make(wanted("unclip", init=from_picture()))
    told = [y for _, y in inputs if y is not None]
    assert len(told) == len(inputs) > 0
    for y in told:
        assert y.shape == (2, 40)
        assert float(y[0, :20].abs().max()) > 0.1
        assert torch.equal(y[0, 20:30], torch.ones(10))  # level 0
        assert not y[1].any()
    inputs.clear()
    studio.make(wanted("unclip"))
    assert all(y is not None and not y.any() for _, y in inputs)


def test_noise_hides_the_picture_and_is_told(studio: Studio) -> None:
    plain, other = (studio.make(wanted("unclip", init=from_picture(seed=seed))) for seed in (3, 4))
    hidden = studio.make(wanted("unclip", init=from_picture(look=LookSpec(noise=500))))
    assert not np.array_equal(pixels(plain), pixels(other))
    assert np.abs(pixels(plain) - pixels(hidden)).max() > np.abs(pixels(plain) - pixels(other)).max()
    again = studio.make(wanted("unclip", init=from_picture(look=LookSpec(noise=500))))
    assert np.array_equal(pixels(hidden), pixels(again))
    assert "Image noise level" not in plain.images[0].infotext
    assert parse_infotext(hidden.images[0].infotext)["Image noise level"] == "500"


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_the_second_pass_looks_at_what_the_first_one_made(
    upscaler: str, studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]
) -> None:
    hires = HiresSpec(upscaler=upscaler, scale=1.5, steps=1, denoising_strength=0.9)
    studio.make(wanted("depth", hires=hires))
    first, second = inputs[0][0][:, 4], inputs[-1][0][:, 4]
    assert not first.any()
    assert second.shape[-2:] == (6, 9)
    assert (float(second.min()), float(second.max())) == (-1, 1)
    inputs.clear()
    studio.make(wanted("unclip", hires=hires))
    last = inputs[-1][1]
    assert last is not None
    assert last[0].any()


@pytest.mark.parametrize(("first", "second"), [("depth", "unclip"), ("unclip", "depth")])
def test_a_refiner_of_another_variant_sees_nothing(
    first: str, second: str, studio: Studio, inputs: list[tuple[Tensor, Tensor | None]]
) -> None:
    init = from_picture()
    studio.make(wanted(first, init=init, refiner=RefinerSpec(checkpoint=second, switch_at=0.3)))
    x, told = inputs[-1]
    assert x.shape[1] == (5 if second == "depth" else 4)
    assert not (x[:, 4:] if told is None else told).any()
