"""Runs and previews whose pictures go through the small networks instead of the VAE."""

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from modules.domain.errors import BrokenFile, ModelError, UnsupportedFeature
from modules.domain.events import Previewed, Progressed
from modules.domain.request import (
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    ModelChoice,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.imaging.infotext_parse import parse_infotext
from modules.nn.approx_decoder import ApproxDecoder
from modules.nn.taesd import tiny_decoder, tiny_encoder
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.workshop import Studio, open_studio

BUFFER = io.BytesIO()
Image.fromarray(np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)).save(BUFFER, "PNG")
REQUEST = Generation(
    prompt="a red circle",
    size=Size(width=64, height=48),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler", steps=3),
    model=ModelChoice(checkpoint="narrow"),
)
ON_PICTURE = replace(REQUEST, init=InitSpec(images=(ImageRef.of(BUFFER.getvalue()),), denoising_strength=0.3))
TINY: dict[str, Any] = {"sd_vae_encode_method": "TAESD", "sd_vae_decode_method": "TAESD"}


def draw(network: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(like.shape, generator=generator) * (1.4 / like[0].numel() ** 0.5)
        for name, like in network.state_dict().items()
    }


@pytest.fixture
def bare(tmp_path: Path) -> Studio:
    """Without any of the small networks."""
    opened = open_studio(tmp_path / "data")
    make_narrow_checkpoint(opened.models / "narrow.safetensors")
    opened.shop.shelf().catalog.refresh()
    return opened


@pytest.fixture
def studio(bare: Studio) -> Studio:
    approx, taesd = bare.models.parent / "VAE-approx", bare.models.parent / "VAE-taesd"
    approx.mkdir()
    taesd.mkdir()
    save_file(draw(tiny_encoder()), approx / "taesd_encoder.safetensors")
    torch.save(draw(tiny_decoder()), taesd / "taesd_decoder.pth")
    torch.save(draw(ApproxDecoder()), approx / "model.pt")
    return bare


def pixels(outcome: Outcome) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[0].data))).astype(int)


def told(outcome: Outcome) -> set[str]:
    """Return which half of the VAE the infotext says was stood in for; its reader takes the VAE for granted."""
    entries = parse_infotext(outcome.images[0].infotext)
    return {key for key in ("VAE Encoder", "VAE Decoder") if entries[key] == "TAESD"}


def test_a_picture_is_decoded_by_the_file(studio: Studio) -> None:
    full, tiny = studio.make(REQUEST), studio.make(REQUEST, sd_vae_decode_method="TAESD")
    assert (told(full), told(tiny)) == (set(), {"VAE Decoder"})
    assert "VAE" not in full.images[0].infotext
    assert np.abs(pixels(full) - pixels(tiny)).max() > 5
    assert studio.make(REQUEST).images[0].data == full.images[0].data


def test_each_half_may_stand_in_alone(studio: Studio) -> None:
    chosen: dict[str, dict[str, Any]] = {
        "full": {},
        "encoder": {"sd_vae_encode_method": "TAESD"},
        "decoder": {"sd_vae_decode_method": "TAESD"},
        "both": TINY,
    }
    made = {name: studio.make(ON_PICTURE, **settings) for name, settings in chosen.items()}
    assert {name: told(one) for name, one in made.items()} == {
        "full": set(), "encoder": {"VAE Encoder"}, "decoder": {"VAE Decoder"}, "both": {"VAE Encoder", "VAE Decoder"}
    }  # fmt: skip
    assert len({one.images[0].data for one in made.values()}) == 4


@pytest.mark.parametrize(("upscaler", "encodes"), [("Lanczos", True), ("Latent", False)])
def test_hires_fix_tells_the_encoder_where_it_encodes(studio: Studio, upscaler: str, encodes: bool) -> None:
    hires = HiresSpec(scale=1.5, upscaler=upscaler, denoising_strength=0.5)
    assert ("VAE Encoder" in told(studio.make(replace(REQUEST, hires=hires), **TINY))) is encodes


@pytest.mark.parametrize("half", ["encode", "decode"])
def test_a_missing_file_is_an_error_before_any_work(bare: Studio, half: str) -> None:
    chosen: dict[str, Any] = {f"sd_vae_{half}_method": "TAESD"}
    with pytest.raises(ModelError, match=rf"taesd_{half}r\.safetensors .* VAE-approx.* sd_vae_{half}_method"):
        bare.make(REQUEST, **chosen)
    assert not bare.told(Progressed)
    bare.make(REQUEST)


def test_a_file_of_another_shape_is_refused_by_name(studio: Studio) -> None:
    torch.save(draw(tiny_decoder(16)), studio.models.parent / "VAE-taesd" / "taesd_decoder.pth")
    with pytest.raises(BrokenFile, match=r"taesd_decoder.pth: 1.weight has shape \[64, 16, 3, 3\]"):
        studio.make(REQUEST, sd_vae_decode_method="TAESD")


def test_models_of_another_latent_space_have_none(studio: Studio) -> None:
    toy = replace(REQUEST, model=ModelChoice(checkpoint="toy"))
    with pytest.raises(UnsupportedFeature, match="TAESD for this kind of model"):
        studio.make(toy, sd_vae_decode_method="TAESD")


def previews(studio: Studio, method: str) -> list[Image.Image]:
    studio.make(REQUEST, show_progress_type=method, live_previews_image_format="png")
    return [Image.open(io.BytesIO(event.data)) for event in studio.told(Previewed)]


def test_each_method_previews_in_its_own_way(studio: Studio) -> None:
    shown = {method: previews(studio, method)[0] for method in ("Full", "Approx NN", "Approx cheap", "TAESD")}
    assert {method: one.size for method, one in shown.items()} == {
        "Full": (64, 48), "Approx NN": (16, 12), "Approx cheap": (64, 48), "TAESD": (64, 48)
    }  # fmt: skip
    assert len({one.tobytes() for one in shown.values()}) == 4


@pytest.mark.parametrize("method", ["Approx NN", "TAESD"])
def test_previews_without_their_file_are_cheap_and_it_is_said_once(
    bare: Studio, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = [previews(bare, method)[0].tobytes() for _ in range(2)]
    assert made == [previews(bare, "Approx cheap")[0].tobytes()] * 2
    said: list[Any] = [one for one in caplog.records if "previews are approximated" in one.getMessage()]
    assert len(said) == 1
