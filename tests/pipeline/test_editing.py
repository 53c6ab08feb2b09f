"""Runs of an instruct-pix2pix checkpoint, in the real layout with eight input channels."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
from modules.imaging.infotext_parse import parse_infotext

sys.path.insert(0, str(Path(__file__).parent))
from narrow import make_narrow_checkpoint
from workshop import Studio, open_studio


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
