"""Runs with merged tokens: which ratio holds, and that the next run knows nothing of it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.domain.events import Noted
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
from modules.pipeline.options import merge_ratio
from modules.settings.snapshot import Snapshot
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.workshop import Studio, open_studio

REQUEST = Generation(
    prompt="a red circle",
    size=Size(width=64, height=48),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler", steps=3),
    model=ModelChoice(checkpoint="narrow"),
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    opened = open_studio(tmp_path_factory.mktemp("data"))
    make_narrow_checkpoint(opened.models / "narrow.safetensors")
    opened.shop.shelf().catalog.refresh()
    return opened


def pixels(outcome: Outcome) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[0].data))).astype(int)


def test_merging_changes_the_picture_is_told_and_leaves_no_trace(studio: Studio) -> None:
    plain = studio.make(REQUEST)
    merged = studio.make(REQUEST, token_merging_ratio=0.5)
    assert np.abs(pixels(plain) - pixels(merged)).max() > 0
    assert parse_infotext(merged.images[0].infotext)["Token merging ratio"] == "0.5"
    again = studio.make(REQUEST)
    assert again.images[0].data == plain.images[0].data
    assert "Token merging" not in again.images[0].infotext


def test_the_second_pass_has_its_own_ratio(studio: Studio) -> None:
    request = replace(REQUEST, hires=HiresSpec(scale=1.5, denoising_strength=0.5))
    plain, merged = studio.make(request), studio.make(request, token_merging_ratio_hr=0.7)
    assert np.abs(pixels(plain) - pixels(merged)).max() > 0
    told = parse_infotext(merged.images[0].infotext)
    assert told["Token merging ratio hr"] == "0.7"
    assert "Token merging ratio" not in told


def test_models_without_such_layers_say_so(studio: Studio) -> None:
    studio.make(replace(REQUEST, model=ModelChoice(checkpoint="toy")), token_merging_ratio=0.5)
    assert any("Token merging has no effect" in note.text for note in studio.told(Noted))


@pytest.mark.parametrize(
    ("hires", "on_picture", "brought", "ratio"),
    [(False, False, False, 0.1), (True, False, False, 0.3), (False, True, False, 0.2), (False, True, True, 0.1)],
)
def test_which_ratio_holds(hires: bool, on_picture: bool, brought: bool, ratio: float) -> None:
    ratios = {"token_merging_ratio": 0.1, "token_merging_ratio_img2img": 0.2, "token_merging_ratio_hr": 0.3}
    request = replace(REQUEST, init=InitSpec(images=(ImageRef.of(b"x"),))) if on_picture else REQUEST
    request = replace(request, overrides={"token_merging_ratio": 0.1}) if brought else request
    assert merge_ratio(request, Snapshot().with_overrides(ratios), hires=hires) == ratio
    general = Snapshot().with_overrides({"token_merging_ratio": 0.4})
    assert merge_ratio(request, general, hires=hires) == 0.4
