"""Room added around a picture, painted in one run."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.limits import Limits, check
from modules.domain.request import (
    ExtendSpec,
    Generation,
    InitSpec,
    MaskSpec,
    SamplingSpec,
    SeedSpec,
    Size,
    SoftSpec,
)
from modules.domain.result import Outcome
from modules.engine.serialise import from_json, to_json
from modules.imaging.infotext_parse import parse_infotext
from tests.pipeline.workshop import Studio, ref

SOURCE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))


def request(mask: MaskSpec) -> Generation:
    return Generation(
        prompt="a red circle",
        size=Size(width=64, height=48),
        seed=SeedSpec(seed=7),
        sampling=SamplingSpec(sampler="Euler", steps=2),
        init=InitSpec(images=(ref(SOURCE),)),
        mask=mask,
    )


def pixels(outcome: Outcome) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[0].data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("fill", [0, 1, 2, 3])
def test_the_picture_stays_inside_its_new_surroundings(studio: Studio, fill: int) -> None:
    extend = ExtendSpec(left=16, top=24, right=32, overlap=8)
    made = studio.make(request(MaskSpec(extend=extend, fill=fill, blur_x=0, blur_y=0)))
    shown = pixels(made)
    assert shown.shape == (72, 112, 3)
    kept = shown[24 + 8 : 72, 16 + 8 : 80 - 8] - np.asarray(SOURCE)[8:, 8:-8]
    assert np.abs(kept).max() <= 1
    assert np.abs(shown[24:, 16:24] - np.asarray(SOURCE)[:, :8]).max() > 5
    text = parse_infotext(made.images[0].infotext)
    assert (text["Size-1"], text["Size-2"]) == ("112", "72")
    assert (text["Extend left"], text["Extend top"], text["Extend right"], text["Extend overlap"]) == (
        "16",
        "24",
        "32",
        "8",
    )
    assert "Extend bottom" not in text


def test_a_mask_and_a_soft_edge_go_along(studio: Studio) -> None:
    drawn = Image.new("L", (64, 48))
    drawn.paste(255, (24, 16, 40, 32))
    spec = MaskSpec(image=ref(drawn), extend=ExtendSpec(bottom=16, overlap=0), blur_x=0, blur_y=0)
    shown = pixels(studio.make(request(spec)))
    changed = np.abs(shown[:48] - np.asarray(SOURCE)).max(axis=2) > 1
    assert changed[16:32, 24:40].mean() > 0.9
    assert not changed[:, :24].any()
    soft = studio.make(request(replace(spec, soft=SoftSpec())))
    assert pixels(soft).shape == (64, 64, 3)


def test_what_cannot_be_extended_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidRequest, match="no mask"):
        studio.make(request(MaskSpec()))
    with pytest.raises(LimitExceeded, match="width x height"):
        check(request(MaskSpec(extend=ExtendSpec(left=8192, top=8192))), Limits())
    with pytest.raises(LimitExceeded, match="left"):
        check(request(MaskSpec(extend=ExtendSpec(left=9000))), Limits())


def test_it_survives_being_written_down() -> None:
    asked = request(MaskSpec(extend=ExtendSpec(left=8), soft=SoftSpec()))
    assert from_json(Generation, to_json(asked)) == asked
