"""Scripts of img2img: results that become sources, and large pictures repainted tile by tile."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.events import ImageReady, Progressed
from modules.domain.request import (
    BatchSpec,
    Generation,
    ImageRef,
    InitSpec,
    MaskSpec,
    OutputSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.hooks.dispatch import Handler
from modules.hooks.points import PlanMade
from modules.imaging.tiles import joined, tiling_of
from modules.pipeline.parts import reference
from tests.scripts.script_house import ScriptHouse, opened, part_of, script_house, stopping_after

LOOPBACK, UPSCALE = "Loopback", "SD upscale"


def painted(width: int = 64, height: int = 64) -> Image.Image:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


BASE = Generation(
    prompt="a circle", size=Size(width=64, height=64), seed=SeedSpec(seed=5),
    sampling=SamplingSpec(sampler="Euler", steps=4),
    init=InitSpec(images=(reference(painted()),), denoising_strength=0.8),
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptHouse]:
    with script_house(tmp_path_factory.mktemp("pictures") / "data") as found:
        yield found


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def on(image: Image.Image, *, seed: int, strength: float) -> Generation:
    assert BASE.init is not None
    init = replace(BASE.init, images=(reference(image),), denoising_strength=strength)
    return replace(BASE, init=init, seed=SeedSpec(seed=seed))


def strengths(outcome: Outcome) -> list[float]:
    return [float(one.infotext.split("Denoising strength: ")[1].split(",")[0]) for one in outcome.images if one.plan]


def test_each_loop_starts_from_the_one_before(house: ScriptHouse) -> None:
    outcome = house.run(LOOPBACK, BASE, 3, 0.4, "Linear")
    assert {event.num_batches for event in house.studio.told(Progressed)} == {3}
    assert [one.plan.seed for one in outcome.images if one.plan] == [5, 6, 7]
    assert strengths(outcome) == pytest.approx([0.8, 0.6, 0.4])
    image = painted()
    for one, seed, strength in zip(outcome.images, (5, 6, 7), strengths(outcome), strict=True):
        image = house.alone(on(image, seed=seed, strength=strength))
        assert (pixels(opened(one)) == pixels(image)).all()
    assert "Final denoising strength: 0.4, Denoising curve: Linear" in outcome.images[0].infotext


def test_curves_of_the_strength(house: ScriptHouse) -> None:
    strength = part_of("loopback", "script").strength
    assert [strength(loop, 3, 1, 0, "Linear") for loop in range(3)] == [1, 0.5, 0]
    assert strength(1, 3, 1, 0, "Aggressive") == pytest.approx(1 - 0.5**0.5)
    assert strength(1, 3, 1, 0, "Lazy") == pytest.approx(0.5**0.5)
    assert all(strength(2, 3, 1, 0, curve) == pytest.approx(0) for curve in ("Aggressive", "Lazy"))
    assert strength(0, 1, 0.7, 0, "Lazy") == 0.7


def test_batches_begin_with_the_original(house: ScriptHouse) -> None:
    outcome = house.run(LOOPBACK, replace(BASE, batch=BatchSpec(size=3, count=2)), 2, 0.8)
    assert [one.plan.seed for one in outcome.images if one.plan] == [5, 6, 7, 8]
    third = house.alone(on(painted(), seed=7, strength=0.8))
    assert (pixels(opened(outcome.images[2])) == pixels(third)).all()


def test_grids_of_loops(house: ScriptHouse) -> None:
    saved = replace(BASE, output=OutputSpec(save_images=True, save_grid=True), batch=BatchSpec(count=2))
    outcome = house.run(LOOPBACK, saved, 2, 0.8)
    assert [one.plan is None for one in outcome.images] == [True, True, False, False, False, False]
    assert (outcome.images[0].width, outcome.images[0].height) == (128, 64)
    assert outcome.images[0].saved_as is not None


def test_a_mask_keeps_what_was_painted_under_it(house: ScriptHouse) -> None:
    fills: list[int] = []

    def watch(payload: PlanMade) -> None:
        assert payload.plan.request.mask is not None
        fills.append(payload.plan.request.mask.fill)

    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    masked = replace(BASE, mask=MaskSpec(image=reference(mask), fill=2))
    house.run(LOOPBACK, masked, 3, handlers=(Handler(name="watch", hook=PlanMade, call=watch),))
    assert fills == [2, 1, 1]


def test_an_early_end_of_the_loops(house: ScriptHouse) -> None:
    handler, cancel = stopping_after(2)
    outcome = house.run(LOOPBACK, BASE, 5, handlers=(handler,), cancel=cancel)
    assert outcome.interrupted
    assert len(outcome.images) == 2


def test_what_the_loopback_refuses(house: ScriptHouse) -> None:
    with pytest.raises(InvalidRequest, match="CLIP"):
        house.run(LOOPBACK, BASE, 2, 0.5, "Linear", "CLIP")
    with pytest.raises(InvalidRequest, match="one prompt"):
        house.run(LOOPBACK, replace(BASE, prompt=("a", "b")))


def test_tiles_are_repainted_and_joined(house: ScriptHouse) -> None:
    outcome = house.run(UPSCALE, BASE, "", 16, "Nearest", 2.0)
    (one,) = outcome.images
    large, tiling = painted().resize((128, 128), Image.Resampling.NEAREST), tiling_of((128, 128), (64, 64), 16)
    tiles = {
        place: house.alone(on(large.crop(box), seed=5 + number, strength=0.8))
        for number, (place, box) in enumerate(tiling.boxes())
    }
    assert len(tiles) == 9
    assert (pixels(opened(one)) == pixels(joined(tiling, tiles))).all()
    assert "Seed: 5, Size: 64x64" in one.infotext
    assert "SD upscale overlap: 16, SD upscale upscaler: Nearest" in one.infotext
    assert [image.seed for image in outcome.plan.images] == [13]
    assert outcome.seed == 5


def test_only_the_whole_is_a_result(house: ScriptHouse) -> None:
    saved = replace(BASE, output=OutputSpec(save_images=True), batch=BatchSpec(count=2))
    outcome = house.run(UPSCALE, saved, "", 0, 0, 2.0)
    assert len(house.studio.told(ImageReady)) == len(outcome.images) == 2
    assert {event.num_batches for event in house.studio.told(Progressed)} == {2}
    assert [one.plan.seed for one in outcome.images if one.plan] == [5, 6]
    assert all(one.saved_as is not None for one in outcome.images)
    assert (outcome.images[0].width, outcome.images[0].height) == (64, 64)


def test_tiles_of_a_batch_are_made_together(house: ScriptHouse) -> None:
    runs: list[int] = []
    watch = Handler(name="watch", hook=PlanMade, call=lambda payload: runs.append(len(payload.plan.images)))
    house.run(UPSCALE, replace(BASE, batch=BatchSpec(size=4)), "", 16, "Lanczos", 2.0, handlers=(watch,))
    assert runs == [4, 4, 1]


def test_an_early_end_leaves_tiles_as_they_were(house: ScriptHouse) -> None:
    handler, cancel = stopping_after(2)
    outcome = house.run(UPSCALE, BASE, "", 0, "Nearest", 2.0, handlers=(handler,), cancel=cancel)
    image, large = opened(outcome.images[0]), painted().resize((128, 128), Image.Resampling.NEAREST)
    assert outcome.interrupted
    assert (pixels(image.crop((64, 64, 128, 128))) == pixels(large.crop((64, 64, 128, 128)))).all()
    assert not (pixels(image.crop((0, 0, 64, 64))) == pixels(large.crop((0, 0, 64, 64)))).all()


@pytest.mark.parametrize(
    ("args", "changed", "told"),
    [
        (("", 64, 0), {}, "overlap"),
        (("", 16, "Zorp"), {}, "no upscaler 'Zorp'"),
        (("", 16, 99), {}, "no upscaler 99"),
        (("", 16), {"mask": MaskSpec(image=ImageRef.of(b"x"))}, "mask"),
        (("", 16), {"prompt": ("a", "b")}, "one prompt"),
    ],
)
def test_what_cannot_be_repainted(house: ScriptHouse, args: Any, changed: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        house.run(UPSCALE, replace(BASE, **changed), *args)


def test_limits_of_tiles(house: ScriptHouse) -> None:
    with pytest.raises(LimitExceeded, match="tiles"):
        house.run(UPSCALE, BASE, "", 16, "Nearest", 2.0, api_max_images_per_request=8)
    with pytest.raises(LimitExceeded, match="megapixels"):
        house.run(UPSCALE, BASE, "", 16, "Nearest", 16.0, api_max_upscaled_mpixels=1)


def test_pictures_are_read_whatever_they_are(house: ScriptHouse) -> None:
    data = io.BytesIO()
    Image.new("RGBA", (60, 44), (200, 0, 0, 128)).save(data, "png")
    assert BASE.init is not None
    request = replace(BASE, init=replace(BASE.init, images=(ImageRef.of(data.getvalue()),)))
    outcome = house.run(UPSCALE, request, "", 16, "Lanczos", 2.0)
    assert (outcome.images[0].width, outcome.images[0].height) == (120, 88)
