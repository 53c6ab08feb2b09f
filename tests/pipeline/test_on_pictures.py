"""Runs on pictures, second passes and refiners on the toy family."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded, UnknownName
from modules.domain.events import Noted, Progressed, Started
from modules.domain.limits import Limits, check
from modules.domain.request import (
    BatchSpec,
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    MaskSpec,
    OutputSpec,
    RefinerSpec,
    SamplingSpec,
    SeedSpec,
    Size,
    SoftSpec,
)
from modules.domain.result import Outcome
from modules.imaging.infotext_parse import parse_infotext
from tests.pipeline.workshop import Studio, ref


def noise(seed: int = 0, width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def masked(box: tuple[int, int, int, int], size: tuple[int, int] = (64, 48)) -> ImageRef:
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return ref(mask)


def request(**changes: object) -> Generation:
    plain = Generation(
        prompt="a red circle",
        size=Size(width=64, height=48),
        seed=SeedSpec(seed=7),
        sampling=SamplingSpec(sampler="Euler a", steps=4),
    )
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def on(image: Image.Image, **changes: object) -> InitSpec:
    return replace(InitSpec(images=(ref(image),)), **changes)  # pyright: ignore[reportArgumentType]


def pixels(outcome: Outcome, number: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[number].data))).astype(int)


def told(outcome: Outcome) -> dict[str, str]:
    return parse_infotext(outcome.images[0].infotext)


def test_the_picture_and_the_strength_decide(studio: Studio) -> None:
    weak = studio.make(request(init=on(noise(), denoising_strength=0.3)))
    assert told(weak)["Denoising strength"] == "0.3"
    assert len(studio.told(Progressed)) == 2
    assert weak.images[0].data == studio.make(request(init=on(noise(), denoising_strength=0.3))).images[0].data
    for other in (on(noise(1), denoising_strength=0.3), on(noise(), denoising_strength=0.9)):
        assert not np.array_equal(pixels(studio.make(request(init=other))), pixels(weak))


def test_all_steps_run_when_asked_to(studio: Studio) -> None:
    studio.make(request(init=on(noise(), denoising_strength=0.3)), img2img_fix_steps=True)
    assert len(studio.told(Progressed)) == 4


def test_each_picture_of_a_batch_may_have_its_own_start(studio: Studio) -> None:
    both = InitSpec(images=(ref(noise(1)), ref(noise(2))))
    made = studio.make(request(init=both, batch=BatchSpec(size=2)))
    for number in (0, 1):
        alone = studio.make(request(init=on(noise(number + 1)), seed=SeedSpec(seed=7 + number)))
        assert np.abs(pixels(made, number) - pixels(alone)).max() <= 1
    with pytest.raises(InvalidRequest, match="2 init images for a batch of 3"):
        studio.make(request(init=both, batch=BatchSpec(size=3)))


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_any_size_becomes_that_of_the_request(studio: Studio, mode: int) -> None:
    made = studio.make(request(init=on(noise(0, 96, 40), resize_mode=mode)))
    assert (made.images[0].width, made.images[0].height) == (64, 48)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
@pytest.mark.parametrize("only_masked", [False, True])
def test_nothing_changes_outside_the_mask(studio: Studio, sampler: str, only_masked: bool) -> None:
    mask = MaskSpec(image=masked((16, 16, 40, 40)), blur_x=0, blur_y=0, only_masked=only_masked, padding=4)
    image = noise()
    made = studio.make(
        request(init=on(image), mask=mask, sampling=SamplingSpec(sampler=sampler, steps=4)), return_mask=True
    )
    changed = np.abs(pixels(made) - np.asarray(image)).max(axis=2) > 0
    inside = np.zeros((48, 64), bool)
    inside[16:40, 16:40] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9
    assert [picture.extra for picture in made.images] == [False, True]
    assert np.array_equal(pixels(made, 1)[..., 0] > 0, inside)


def test_masks_are_told(studio: Studio) -> None:
    mask = MaskSpec(image=masked((16, 16, 40, 40)), fill=2, only_masked=True, padding=8, invert=1)
    text = told(studio.make(request(init=on(noise(), noise_multiplier=0.9), mask=mask)))
    assert text["Mask mode"] == "Inpaint not masked"
    assert (text["Mask blur"], text["Inpaint area"], text["Masked area padding"]) == ("4", "Only masked", "8")
    assert (text["Masked content"], text["Noise multiplier"]) == ("latent noise", "0.9")


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
@pytest.mark.parametrize("only_masked", [False, True])
def test_soft_inpainting_fades_into_the_original(studio: Studio, sampler: str, only_masked: bool) -> None:
    where = masked((88, 56, 104, 72), (192, 128))
    mask = MaskSpec(image=where, only_masked=only_masked, padding=128, soft=SoftSpec())
    image, run = noise(0, 192, 128), SamplingSpec(sampler=sampler, steps=4)
    asked = request(init=on(image), mask=mask, sampling=run, size=Size(width=192, height=128))
    made = studio.make(asked, return_mask=True)
    text = told(made)
    assert (text["Soft inpainting enabled"], text["Soft inpainting transition contrast boost"]) == ("True", "4")
    changed = np.abs(pixels(made) - np.asarray(image)).max(axis=2)
    shown = pixels(made, 1)[..., 0]
    assert shown[56:72, 88:104].mean() > 200
    assert shown[:, :16].max() < 5
    assert (changed[shown == 0] <= 1).all()
    hard = studio.make(replace(asked, mask=replace(mask, soft=None)))
    assert not np.array_equal(pixels(made), pixels(hard))


def test_a_blank_mask_means_the_whole_picture_and_is_told(studio: Studio) -> None:
    mask = MaskSpec(image=masked((0, 0, 0, 0)), only_masked=True)
    made = studio.make(request(init=on(noise()), mask=mask))
    assert any("mask is blank" in note.text for note in studio.told(Noted))
    assert np.array_equal(pixels(made), pixels(studio.make(request(init=on(noise())))))


def test_colour_correction_brings_the_colours_back(studio: Studio) -> None:
    red = Image.new("RGB", (64, 48), (200, 30, 30))
    made = pixels(studio.make(request(init=on(red)), img2img_color_correction=True))
    assert made[..., 0].mean() > made[..., 2].mean() + 60


def test_pictures_made_from_pictures_have_their_own_folder(studio: Studio) -> None:
    made = studio.make(request(init=on(noise()), output=OutputSpec(save_images=True)))
    assert made.images[0].saved_as is not None
    assert "img2img-images" in made.images[0].saved_as.parts


@pytest.mark.parametrize(
    "upscaler", [None, "Latent (bicubic antialiased)", "Latent (nearest)", "Lanczos", "Nearest", "None"]
)
def test_the_second_pass_makes_the_picture_larger(studio: Studio, upscaler: str | None) -> None:
    made = studio.make(request(hires=HiresSpec(scale=1.5, upscaler=upscaler, steps=2)))
    assert (made.images[0].width, made.images[0].height) == (96, 72)
    text = told(made)
    assert (text["Size-1"], text["Hires upscale"], text["Hires steps"]) == ("64", "1.5", "2")
    assert text.get("Hires upscaler") == upscaler
    assert [event.num_batches for event in studio.told(Started)] == [2]
    assert [(event.batch, event.step) for event in studio.told(Progressed)] == [(0, i) for i in (1, 2, 3, 4)] + [
        (1, 1),
        (1, 2),
    ]


def test_what_sticks_out_is_cut(studio: Studio) -> None:
    made = studio.make(request(hires=HiresSpec(resize_x=96, resize_y=96)))
    assert (made.images[0].width, made.images[0].height) == (96, 96)
    assert (told(made)["Hires resize-1"], told(made)["Hires resize-2"]) == ("96", "96")


def test_the_hires_pass_has_a_cfg_scale_of_its_own(studio: Studio) -> None:
    same, own = (studio.make(request(hires=HiresSpec(scale=1.5, cfg_scale=scale))) for scale in (0.0, 2.0))
    assert not np.array_equal(pixels(same), pixels(own))
    assert "Hires CFG Scale: 2.0" in own.images[0].infotext
    assert "Hires CFG" not in same.images[0].infotext


def test_the_second_pass_may_have_its_own_everything(studio: Studio) -> None:
    plain = HiresSpec(scale=1.5)
    own = replace(plain, sampler="DPM++ 2M", scheduler="Exponential", prompt="blue", checkpoint="zebra")
    made = studio.make(request(hires=own))
    text = told(made)
    assert (text["Hires sampler"], text["Hires schedule type"], text["Hires prompt"]) == (
        "DPM++ 2M",
        "Exponential",
        "blue",
    )
    assert text["Hires checkpoint"].startswith("zebra")
    assert not np.array_equal(pixels(made), pixels(studio.make(request(hires=plain))))
    assert studio.make(request()).images[0].data == studio.make(request()).images[0].data


def test_bad_second_passes_are_refused(studio: Studio) -> None:
    with pytest.raises(UnknownName, match="Latent"):
        studio.make(request(hires=HiresSpec(upscaler="none such")))
    with pytest.raises(UnknownName):
        studio.make(request(refiner=RefinerSpec(checkpoint="none such")))
    with pytest.raises(LimitExceeded, match="hires"):
        check(request(hires=HiresSpec(scale=64, resize_x=8000, resize_y=8000)), Limits())


@pytest.mark.parametrize("by_steps", [False, True])
def test_a_refiner_takes_over_on_the_way(studio: Studio, by_steps: bool) -> None:
    settings: dict[str, Any] = {"refiner_switch_by_sample_steps": by_steps}
    made = studio.make(request(refiner=RefinerSpec(checkpoint="zebra", switch_at=0.5)), **settings)
    assert told(made)["Refiner"].startswith("zebra")
    assert told(made)["Refiner switch at"] == "0.5"
    never = studio.make(request(refiner=RefinerSpec(checkpoint="zebra", switch_at=1.0)), **settings)
    assert "Refiner" not in told(never)
    assert np.array_equal(pixels(never), pixels(studio.make(request())))
    assert not np.array_equal(pixels(made), pixels(never))
    pair = studio.make(
        request(refiner=RefinerSpec(checkpoint="zebra", switch_at=0.5), batch=BatchSpec(count=2)), **settings
    )
    assert np.array_equal(pixels(pair, 0), pixels(made))


def test_a_refiner_waits_for_its_pass(studio: Studio) -> None:
    refined = request(hires=HiresSpec(scale=1.5), refiner=RefinerSpec(checkpoint="zebra", switch_at=0.1))
    second = studio.make(refined)
    assert "Hires refiner" not in told(second)
    first = studio.make(refined, hires_fix_refiner_pass="first pass")
    assert told(first)["Hires refiner"] == "first pass"
    assert not np.array_equal(pixels(first), pixels(second))
