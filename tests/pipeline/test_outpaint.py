"""Outpainting scripts on the toy family."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.events import ImageReady, Progressed, Started
from modules.domain.request import (
    BatchSpec,
    Generation,
    ImageRef,
    InitSpec,
    OutputSpec,
    SamplingSpec,
    ScriptCall,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.domain.scripts import read_script
from modules.hooks.cancel import CancelReason, CancelToken
from modules.imaging.infotext_parse import parse_infotext
from modules.pipeline.outpaint import Margins, margins_of
from tests.pipeline.workshop import Studio

POOR, MK2 = "Poor man's outpainting", "Outpainting mk2"


def source(width: int = 96, height: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def request(name: str, *args: Any, image: Image.Image | None = None) -> Generation:
    buffer = io.BytesIO()
    (image or source()).save(buffer, "PNG")
    return Generation(
        prompt="a red circle",
        size=Size(width=64, height=64),
        seed=SeedSpec(seed=7),
        sampling=SamplingSpec(sampler="Euler", steps=2),
        init=InitSpec(images=(ImageRef.of(buffer.getvalue()),)),
        script=ScriptCall(name=name, args=args),
    )


def pixels(outcome: Outcome, number: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[number].data)).convert("RGB")).astype(int)


def test_margins_round_up_and_are_shared() -> None:
    assert margins_of((128, 128), 32, frozenset({"left", "right"})) == Margins(left=32, right=32)
    assert margins_of((96, 64), 8, frozenset({"left"})) == Margins(left=32)
    assert margins_of((100, 64), 8, frozenset({"left", "right", "down"})) == Margins(left=14, right=14, down=64)


def test_tiles_of_poor_mans_outpainting(studio: Studio) -> None:
    asked = replace(request(POOR, 16, 0, 1, ["left", "right"]), output=OutputSpec(save_images=True))
    made = studio.make(asked)
    assert (made.images[0].width, made.images[0].height) == (128, 64)
    assert np.abs(pixels(made)[:, 16:112] - np.asarray(source())).max() <= 1
    assert pixels(made)[:, 112:].std() > 1
    assert [event.num_batches for event in studio.told(Started)] == [2, 2]
    assert [(event.batch, event.num_batches) for event in studio.told(Progressed)] == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert len(studio.told(ImageReady)) == 1
    assert made.images[0].saved_as is not None
    assert len(list(made.images[0].saved_as.parent.iterdir())) == 1
    assert parse_infotext(made.images[0].infotext)["Seed"] == "7"
    assert (made.seed, made.plan.images[0].seed) == (7, 8)


def test_names_of_the_content_mean_fill_and_are_not_told(studio: Studio) -> None:
    named, numbered = (studio.make(request(POOR, 16, 4, fill, ["up"])) for fill in ("latent noise", 0))
    assert np.array_equal(pixels(named), pixels(numbered))
    assert "Masked content" not in named.images[0].infotext
    assert "Masked content: fill" in numbered.images[0].infotext
    assert "Mask blur: 8" in named.images[0].infotext


@pytest.mark.parametrize("side", ["left", "right", "up", "down"])
def test_mk2_widens_each_side(studio: Studio, side: str) -> None:
    image = source(64, 64)
    made = studio.make(request(MK2, None, 24, 0, [side], 1, 0.05, image=image))
    across = side in ("left", "right")
    assert pixels(made).shape == ((64, 128, 3) if across else (128, 64, 3))
    kept = {"left": np.s_[:, 72:], "right": np.s_[:, :56], "up": np.s_[72:], "down": np.s_[:56]}[side]
    shift = {"left": np.s_[:, 8:], "right": np.s_[:, :56], "up": np.s_[8:], "down": np.s_[:56]}[side]
    assert np.abs(pixels(made)[kept] - np.asarray(image)[shift]).max() <= 1
    assert parse_infotext(made.images[0].infotext)["Seed"] == "7"


def test_mk2_makes_batches(studio: Studio) -> None:
    asked = request(MK2, "", 16, 2, ["left", "down"], 1, 0.05, image=source(64, 64))
    made = studio.make(replace(asked, batch=BatchSpec(size=2, count=2)))
    assert [(one.width, one.height) for one in made.images] == [(128, 128)] * 4
    assert [parse_infotext(one.infotext)["Seed"] for one in made.images] == ["7", "8", "9", "10"]
    assert np.abs(pixels(made) - pixels(studio.make(asked))).max() <= 1
    third = studio.make(replace(asked, seed=SeedSpec(seed=9)))
    assert np.abs(pixels(made, 2) - pixels(third)).max() <= 1


@pytest.mark.parametrize("call", [(POOR, 16, 4, 0, ["left"]), (MK2, "", 16, 4, ["left"], 1, 0.05)])
def test_an_early_end_gives_what_there_is(studio: Studio, call: tuple[Any, ...]) -> None:
    token = CancelToken()
    token.set(CancelReason.INTERRUPT)
    made = studio.make(request(*call), cancel=token)
    assert made.interrupted
    assert len(made.images) <= 1


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("no such", (), "not found"),
        (POOR, (32, 4, 0, ["left"], 5), "takes 4"),
        (POOR, (32, 4, 9, ["left"]), "masked content"),
        (POOR, ("x", 4, 0, ["left"]), "pixels"),
        (POOR, (32, 4, 0, "left"), "direction"),
        (POOR, (32, 4, 0, []), "side"),
        (MK2, ("", 32, 4, ["left"], 9, 0.05), "exponent"),
        (MK2, ("", 32, 4, [["left"]], 1, 0.05), "direction"),
    ],
)
def test_bad_arguments_are_named(name: str, args: tuple[Any, ...], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        read_script(ScriptCall(name=name, args=args))


def test_what_cannot_be_made_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidRequest, match="overlap"):
        studio.make(request(POOR, 64, 4, 0, ["left"]))
    with pytest.raises(LimitExceeded, match="tiles"):
        studio.make(request(POOR, 56, 4, 0, ["left", "up"]), api_max_images_per_request=3)
    with pytest.raises(LimitExceeded, match="widened"):
        studio.make(request(MK2, "", 64, 4, ["left"], 1, 0.05), api_max_result_mpixels=0.01)
    with pytest.raises(InvalidRequest, match="one prompt"):
        studio.make(replace(request(POOR, 16, 4, 0, ["left"]), prompt=("a", "b")))
