"""From controls to a request and from a parameters text to controls."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded, UnknownName
from modules.domain.request import ExtendSpec, FolderSpec, Generation, ImageRef, LookSpec
from modules.imaging.open import ImageLimits
from modules.web.ui import drawings
from modules.web.ui.drawings import Drawing
from modules.web.ui.pasting import last_text, paste, seeds_of
from modules.web.ui.tabs.sources import SOURCES, folder_of
from modules.web.ui.values import GivenPictures, generation_of, override_entries, read_overrides
from tests.web.rest_house import RestHouse, rest_house

TAB = "txt2img"
TEXT = """a (red:1.2) fox in ink
Negative prompt: blur
Steps: 31, Sampler: Euler a, Schedule type: Karras, CFG scale: 4.5, Seed: 77, Size: 640x384, Variation seed: 5, \
Variation seed strength: 0.25, Clip skip: 2, Version: v1.10.1"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("values")) as built:
        yield built


def controls(**changed: Any) -> dict[str, Any]:
    """What the browser sends when nothing was touched, except for some controls."""
    return {
        "prompt": "", "negative_prompt": "", "styles": [], "sampler_name": "DPM++ 2M", "scheduler": "Automatic",
        "steps": 20, "width": 512, "height": 512, "n_iter": 1, "batch_size": 1, "cfg_scale": 7, "seed": -1,
        "subseed_show": False, "subseed": 9, "subseed_strength": 0.5, "seed_resize_from_w": 64,
        "seed_resize_from_h": 64, "override_settings": [], **changed,
    }  # fmt: skip


def test_values_become_a_request(house: RestHouse):
    made = generation_of(
        TAB,
        controls(prompt="a fox", styles=["ink"], steps="7", width=640, cfg_scale=4, seed=12.0),
        house.services,
        "ann",
    )
    assert (made.prompt, made.styles, made.sampling.steps, made.size.width) == ("a fox", ("ink",), 7, 640)
    assert (made.guidance.cfg_scale, made.seed.seed, made.output.user) == (4.0, 12, "ann")
    assert made.output.save_images is True
    assert (made.sampling.sampler, made.sampling.scheduler) == ("DPM++ 2M", "Automatic")


def test_extra_seed_counts_only_while_its_box_is_ticked(house: RestHouse):
    assert generation_of(TAB, controls(), house.services, None).seed.subseed_strength == 0
    ticked = generation_of(TAB, controls(subseed_show=True), house.services, None).seed
    assert (ticked.subseed, ticked.subseed_strength, ticked.resize_from_width) == (9, 0.5, 64)


def test_empty_number_fields_mean_their_default(house: RestHouse):
    made = generation_of(TAB, controls(seed=None, steps=None), house.services, None)
    assert (made.seed.seed, made.sampling.steps) == (-1, 20)


@pytest.mark.parametrize(
    ("changed", "field", "kind"),
    [
        ({"steps": 0}, "steps", InvalidRequest),
        ({"steps": 10_000}, "steps", LimitExceeded),
        ({"steps": "many"}, "steps", InvalidRequest),
        ({"width": [1]}, "width", InvalidRequest),
        ({"cfg_scale": "nan"}, "cfg_scale", InvalidRequest),
        ({"prompt": ["a"]}, "prompt", InvalidRequest),
        ({"styles": "ink"}, "styles", InvalidRequest),
        ({"override_settings": ["No such: 1"]}, "override_settings", UnknownName),
        ({"override_settings": ["Clip skip: 99"]}, "CLIP_stop_at_last_layers", LimitExceeded),
        ({"override_settings": ["Model hash: elsewhere"]}, "override_settings", UnknownName),
    ],
)
def test_wrong_values_are_refused_by_name(house: RestHouse, changed: dict[str, Any], field: str, kind: type):
    with pytest.raises(kind) as refused:
        generation_of(TAB, controls(**changed), house.services, None)
    assert getattr(refused.value, "field", None) == field


def test_control_characters_do_not_reach_the_prompt(house: RestHouse):
    assert generation_of(TAB, controls(prompt="a\x00b\r\nc\td"), house.services, None).prompt == "ab\nc\td"


def test_overrides_round_trip():
    values = {"CLIP_stop_at_last_layers": 2, "eta_noise_seed_delta": 31337, "randn_source": "CPU", "tiling": True}
    assert read_overrides(override_entries(values)) == values


def test_a_parameters_text_fills_controls(house: RestHouse):
    found = paste(TAB, TEXT, house.services).values
    assert {name: found[name] for name in ("prompt", "negative_prompt", "steps", "sampler_name", "scheduler")} == {
        "prompt": "a (red:1.2) fox in ink", "negative_prompt": "blur", "steps": 31, "sampler_name": "Euler a",
        "scheduler": "Karras",
    }  # fmt: skip
    assert (found["width"], found["height"], found["cfg_scale"], found["seed"]) == (640, 384, 4.5, 77)
    assert (found["subseed_show"], found["subseed"], found["subseed_strength"]) == (True, 5, 0.25)
    assert found["override_settings"] == ["Clip skip: 2"]


def test_what_a_text_does_not_say_stays(house: RestHouse):
    found = paste(TAB, "a cat\nSteps: 5, Sampler: Euler, CFG scale: 7, Seed: 1", house.services).values
    assert "width" not in found
    assert "subseed" not in found
    assert found["subseed_show"] is False
    assert found["override_settings"] == []


def test_loras_of_a_text_get_the_names_they_have_here(house: RestHouse):
    services = replace(house.services, lora_by_hash={"0123456789ab": "mine"}.get)
    text = 'a <lora:ink:0.5>\nSteps: 5, Sampler: Euler, CFG scale: 7, Seed: 1, Lora hashes: "ink: 0123456789ab"'
    assert paste(TAB, text, services).values["prompt"] == "a <lora:mine:0.5>"


def test_a_plain_prompt_changes_nothing_but_prompts(house: RestHouse):
    assert paste(TAB, "just words", house.services).values.keys() <= {"prompt", "negative_prompt", "styles"}


def test_old_sampler_names_hold_a_schedule(house: RestHouse):
    found = paste(TAB, "a\nSteps: 5, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1", house.services).values
    assert (found["sampler_name"], found["scheduler"]) == ("DPM++ 2M", "Karras")


def test_unknown_choices_and_bad_numbers_leave_controls_alone(house: RestHouse):
    text = "a\nSteps: lots, Sampler: Nope, Schedule type: Odd, CFG scale: high, Seed: 5, Size: 64x64"
    found = paste(TAB, text, house.services).values
    assert found.keys().isdisjoint({"steps", "sampler_name", "scheduler", "cfg_scale"})
    assert (found["seed"], found["width"]) == (5, 64)


HIRES = """a
Steps: 5, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 64x96, Denoising strength: 0.4, Hires upscale: 1.5, \
Hires steps: 3, Hires upscaler: Latent (nearest), Hires prompt: "b, c", Refiner: toy [0123456789], \
Refiner switch at: 0.5"""


def test_a_text_fills_the_hires_pass_and_the_refiner(house: RestHouse):
    found = paste(TAB, HIRES, house.services)
    assert found.notes == ()
    made = generation_of(TAB, controls(**{**found.values, "refiner_checkpoint": "toy"}), house.services, None)
    hires, refiner = made.hires, made.refiner
    assert hires is not None
    assert refiner is not None
    assert (hires.scale, hires.steps, hires.upscaler, hires.prompt) == (1.5, 3, "Latent (nearest)", "b, c")
    assert (hires.denoising_strength, refiner.switch_at) == (0.4, 0.5)
    assert found.values["refiner_checkpoint"] == "toy [0123456789]"


def test_a_text_without_them_turns_them_off(house: RestHouse):
    found = paste(TAB, TEXT, house.services).values
    assert (found["enable_hr"], found["enable_refiner"]) == (False, False)
    assert found.keys().isdisjoint({"hr_scale", "denoising_strength"})


def test_what_is_switched_off_does_not_count(house: RestHouse):
    made = generation_of(
        TAB, controls(enable_hr=False, hr_scale="nonsense", enable_refiner=False), house.services, None
    )
    assert (made.hires, made.refiner) == (None, None)


def test_an_unknown_refiner_is_told(house: RestHouse):
    found = paste(TAB, HIRES.replace("toy [0123456789]", "elsewhere"), house.services)
    assert "elsewhere" in found.notes[0]
    assert found.values["refiner_checkpoint"] == "None"


def test_pasted_controls_make_the_request_of_the_text(house: RestHouse):
    made = generation_of(TAB, controls(**paste(TAB, TEXT, house.services).values), house.services, None)
    assert (made.sampling.steps, made.seed.seed, made.seed.subseed, made.size.height) == (31, 77, 5, 384)
    assert dict(made.overrides) == {"CLIP_stop_at_last_layers": 2}


PICTURE, MASK = ImageRef.of(b"picture"), ImageRef.of(b"mask")


def img2img(house: RestHouse, pictures: GivenPictures, **changed: Any) -> Generation:
    """Make the request of img2img's controls."""
    values = controls(denoising_strength=0.6, resize_mode=1, mask_blur=7, inpainting_fill=2, **changed)
    return generation_of("img2img", values, house.services, None, pictures)


def test_pictures_make_a_request_img2img(house: RestHouse):
    made = img2img(house, GivenPictures(images=(PICTURE,)))
    assert made.init is not None
    assert (made.init.images, made.init.denoising_strength, made.init.resize_mode) == ((PICTURE,), 0.6, 1)
    assert (made.mask, made.size.width) == (None, 512)


def test_a_scale_for_the_picture_is_passed_on_and_pasted(house: RestHouse):
    made = img2img(house, GivenPictures(images=(PICTURE,)), image_cfg_scale=1.25)
    assert made.init is not None
    assert made.init.image_cfg_scale == 1.25
    text = "a\nSteps: 5, Sampler: Euler, Seed: 5, Image CFG scale: 1.75"
    assert paste("img2img", text, house.services).values["image_cfg_scale"] == 1.75


def test_what_models_that_look_are_given_is_passed_on_and_pasted(house: RestHouse):
    made = img2img(house, GivenPictures(images=(PICTURE,), depth=PICTURE), noise=30)
    assert made.init is not None
    assert made.init.look == LookSpec(depth=PICTURE, noise=30)
    plain = img2img(house, GivenPictures(images=(PICTURE,)), noise=0).init
    assert plain is not None
    assert plain.look is None
    text = "a\nSteps: 5, Sampler: Euler, Seed: 5, Image noise level: 120"
    assert paste("img2img", text, house.services).values["noise"] == 120


def test_a_mask_brings_its_controls(house: RestHouse):
    more = {"inpaint_full_res": True, "inpaint_full_res_padding": 8, "inpainting_mask_invert": 1}
    mask = img2img(house, GivenPictures(images=(PICTURE,), mask=MASK), **more).mask
    assert mask is not None
    assert (mask.image, mask.blur_x, mask.blur_y, mask.fill, mask.soft) == (MASK, 7, 7, 2, None)
    assert (mask.only_masked, mask.padding, mask.invert) == (True, 8, 1)


def test_soft_inpainting_counts_while_it_is_on(house: RestHouse):
    given = GivenPictures(images=(PICTURE,), mask=MASK)
    mask = img2img(house, given, enable_soft_inpainting=True, schedule_bias=3).mask
    assert mask is not None
    assert mask.soft is not None
    assert mask.soft.schedule_bias == 3
    assert getattr(img2img(house, given, schedule_bias=3).mask, "soft", 1) is None


def test_room_is_added_while_it_is_on(house: RestHouse):
    given, room = GivenPictures(images=(PICTURE,)), {"left": 64, "top": "8", "right": 0, "bottom": None, "overlap": 24}
    mask = img2img(house, given, enable_extend=True, **room).mask
    assert mask is not None
    assert (mask.image, mask.extend, mask.blur_x) == (None, ExtendSpec(left=64, top=8, overlap=24), 7)
    assert img2img(house, given, **room).mask is None
    own = img2img(house, GivenPictures(images=(PICTURE,), mask=MASK), enable_extend=True, **room).mask
    assert own is not None
    assert (own.image, own.extend) == (MASK, mask.extend)


@pytest.mark.parametrize(
    ("room", "field"),
    [({}, "extend"), ({"left": 0, "overlap": 8}, "extend"), ({"top": -8}, "top"), ({"left": "far"}, "left")],
)
def test_wrong_room_is_refused_by_name(house: RestHouse, room: dict[str, Any], field: str):
    with pytest.raises(InvalidRequest) as refused:
        img2img(house, GivenPictures(images=(PICTURE,)), enable_extend=True, **room)
    assert refused.value.field == field


def test_an_uploaded_mask_may_be_missing_only_where_room_is_added():
    picture = drawings.png(Image.new("RGB", (8, 8)))
    source, limits = next(one for one in SOURCES if one.id == "inpaint_upload"), ImageLimits()
    assert source.read is not None
    sent = [Drawing(background=picture), Drawing()]
    assert source.read(sent, {"enable_extend": True}, limits) == GivenPictures(images=(ImageRef.of(picture),))
    with pytest.raises(InvalidRequest, match="mask"):
        source.read(sent, {"enable_extend": False}, limits)


def test_a_scale_decides_the_size(house: RestHouse):
    made = img2img(house, GivenPictures(images=(PICTURE,), size=(96, 40)))
    assert (made.size.width, made.size.height) == (96, 40)


def test_a_folder_brings_its_masks(house: RestHouse):
    folder = folder_of(["in", "out", "masks", True, None, ["Prompt", "Seed"]])
    assert folder == FolderSpec(
        input="in", output="out", masks="masks", use_png_info=True, png_info_props=("Prompt", "Seed")
    )
    made = img2img(house, GivenPictures(images=(), folder=folder))
    assert made.folder == folder
    assert made.mask is not None
    assert (made.mask.image, made.mask.blur_x) == (None, 7)
    assert img2img(house, GivenPictures(images=(), folder=FolderSpec(input="in"))).mask is None


@pytest.mark.parametrize("raw", [["", "", "", False, "", []], [3, "", "", False, "", []], ["in", "", "", "x", "", []]])
def test_wrong_folders_are_refused(raw: list[Any]):
    with pytest.raises(InvalidRequest):
        folder_of(raw)


def test_wrong_blur_is_refused_by_name(house: RestHouse):
    with pytest.raises(InvalidRequest, match="mask_blur"):
        generation_of(
            "img2img", controls(mask_blur="much"), house.services, None, GivenPictures(images=(PICTURE,), mask=MASK)
        )


def test_a_text_fills_the_controls_of_a_mask(house: RestHouse):
    text = """a
Steps: 5, Sampler: Euler, Seed: 5, Size: 64x64, Denoising strength: 0.3, Mask blur: 9, Masked content: latent noise, \
Mask mode: Inpaint not masked, Inpaint area: Only masked, Masked area padding: 12, Soft inpainting enabled: True, \
Soft inpainting schedule bias: 2.5"""
    found = paste("img2img", text, house.services).values
    wanted = {
        "denoising_strength": 0.3, "mask_blur": 9, "inpainting_fill": 2, "inpainting_mask_invert": 1,
        "inpaint_full_res": True, "inpaint_full_res_padding": 12, "enable_soft_inpainting": True, "schedule_bias": 2.5,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    plain = paste("img2img", TEXT, house.services).values
    assert (plain["inpainting_fill"], plain["inpaint_full_res"], plain["enable_soft_inpainting"]) == (1, False, False)


def test_a_text_fills_the_room_around_a_picture(house: RestHouse):
    text = "a\nSteps: 5, Sampler: Euler, Seed: 5, Size: 192x128, Extend left: 40, Extend right: 24, Extend overlap: 8"
    found = paste("img2img", text, house.services).values
    wanted = {
        "enable_extend": True, "left": 40, "right": 24, "top": 0, "bottom": 0, "overlap": 8, "width": 128, "height": 128,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert "width" not in paste("img2img", text.replace("192x", "64x"), house.services).values
    assert paste("img2img", TEXT, house.services).values["enable_extend"] is False
    assert paste("txt2img", text, house.services).values["width"] == 192


def test_seeds_come_from_the_text_of_a_picture():
    assert seeds_of(TEXT) == (77, 5)
    assert seeds_of("a\nSteps: 5, Sampler: Euler, Seed: nonsense") == (-1, -1)


def test_last_text_is_that_of_the_last_run(tmp_path: Path):
    assert last_text(None) == last_text(tmp_path / "none.txt") == ""
    (tmp_path / "params.txt").write_bytes(b"caf\xc3\xa9 \xff")
    assert last_text(tmp_path / "params.txt") == "café \ufffd"
