"""Asking for pictures made from pictures over A1111's API."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.domain.request import ExtendSpec, FolderSpec, ImageRef, InitSpec, LookSpec, ScriptCall, SoftSpec
from modules.web.rest.schema import img2img_model
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house

PICTURE = png(16, 16, "", colour=(250, 10, 10))
SENT = base64.b64encode(PICTURE).decode()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


def img2img(house: RestHouse, **body: Any) -> Any:
    return house.post("/img2img", {"steps": 2, "width": 64, "height": 64, "init_images": [SENT], **body})


def test_every_field_and_default_of_the_contract(shared_dir: Path, house: RestHouse) -> None:
    listed = json.loads((shared_dir / "spec/api.json").read_text())["endpoints"]
    fields = next(one for one in listed if one["path"] == "/sdapi/v1/img2img")["request"]
    wanted = {name: field["default"] for name, field in fields.items()}
    assert img2img_model()().model_dump() == wanted
    assert img2img(house).json()["parameters"] == {**wanted, "steps": 2, "width": 64, "height": 64}


def test_pictures_come_back_only_on_request(house: RestHouse) -> None:
    echoed = img2img(house, include_init_images=True, mask=SENT).json()["parameters"]
    assert (echoed["init_images"], echoed["mask"]) == ([SENT], SENT)
    assert img2img(house, mask=SENT).json()["parameters"]["mask"] is None


def test_values_reach_the_request(house: RestHouse) -> None:
    img2img(
        house, init_images=["data:image/png;base64," + SENT, SENT], batch_size=3, mask=SENT, mask_blur=7,
        denoising_strength=0.25, resize_mode=2, inpainting_fill=3, inpaint_full_res=False, mask_round=False,
        inpaint_full_res_padding=12, inpainting_mask_invert=1, initial_noise_multiplier=0.5, image_cfg_scale=1.5,
        latent_mask=SENT,
    )  # fmt: skip
    request = house.runner.seen[-1]
    init, mask = request.init, request.mask
    assert init is not None
    assert mask is not None
    assert init.images == (ImageRef.of(PICTURE),) * 2
    assert request.batch.size == 2
    assert (init.denoising_strength, init.resize_mode, init.noise_multiplier, init.image_cfg_scale) == (
        0.25,
        2,
        0.5,
        1.5,
    )
    assert (mask.blur_x, mask.blur_y, mask.fill, mask.only_masked, mask.padding) == (7, 7, 3, False, 12)
    assert (mask.rounded, mask.invert) == (False, 1)
    assert mask.image is not None
    assert mask.image.data == PICTURE
    assert mask.latent == ImageRef.of(PICTURE)
    assert house.services.desk.jobs()[-1].kind == "img2img"


def test_a_given_picture_replaces_the_first_pass(house: RestHouse) -> None:
    sent = {"enable_hr": True, "denoising_strength": 0.5, "firstpass_image": SENT, "steps": 2}
    assert house.post("/txt2img", sent).status_code == 200
    request = house.runner.seen[-1]
    assert request.hires is not None
    assert request.hires.first_image == ImageRef.of(PICTURE)
    assert (request.size.width, request.size.height) == (16, 16)
    assert house.post("/txt2img", {**sent, "enable_hr": False}).status_code == 422


def own(house: RestHouse, **body: Any) -> Any:
    return house.client.post("/v1/img2img", json={"steps": 2, "width": 64, "height": 64, **body})


def test_our_own_fields_reach_the_request(house: RestHouse) -> None:
    made = own(house, init_images=[SENT], extend={"left": 16}, soft_inpainting={"schedule_bias": 2}, mask_blur=3)
    assert made.status_code == 200, made.text
    mask = house.runner.seen[-1].mask
    assert mask is not None
    assert (mask.image, mask.extend, mask.soft) == (None, ExtendSpec(left=16), SoftSpec(schedule_bias=2))
    assert (mask.blur_x, house.runner.seen[-1].run_size.width) == (3, 80)
    assert own(house, init_images=[SENT], look={"depth": SENT, "noise": 40}).status_code == 200
    init = house.runner.seen[-1].init
    assert init is not None
    assert init.look == LookSpec(depth=ImageRef.of(PICTURE), noise=40)
    assert own(house, init_images=[SENT]).status_code == 200
    assert house.runner.seen[-1].mask is None
    assert house.runner.seen[-1].init == InitSpec(images=(ImageRef.of(PICTURE),))


def test_a_folder_takes_the_place_of_init_images(house: RestHouse) -> None:
    made = own(house, folder={"input": "in", "output": "out", "png_info_props": ["Seed"]}, denoising_strength=0.5)
    assert made.status_code == 200, made.text
    request = house.runner.seen[-1]
    assert request.folder == FolderSpec(input="in", output="out", png_info_props=("Seed",))
    assert request.init == InitSpec(images=(), denoising_strength=0.5)
    assert request.mask is None
    own(house, folder={"input": "in", "masks": "m"}, mask_blur=9)
    mask = house.runner.seen[-1].mask
    assert mask is not None
    assert (mask.image, mask.blur_x) == (None, 9)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 404, "Init image not found"),
        ({"init_images": [SENT], "extend": {}}, 422, "extend"),
        ({"init_images": [SENT], "extend": {"left": -1}}, 422, "left"),
        ({"init_images": [SENT], "extend": {"left": 10**6}}, 422, "left"),
        ({"init_images": [SENT], "extend": 5}, 422, "extend"),
        ({"init_images": [SENT], "look": {"noise": 1000}}, 422, "noise"),
        ({"init_images": [SENT], "look": {"depth": "bm90aGluZw=="}}, 422, "depth"),
        ({"init_images": [SENT], "folder": {"input": "in"}}, 422, "init_images"),
        ({"folder": {"input": "in", "png_info_props": ["nothing"]}}, 422, "png_info_props"),
        ({"init_images": [SENT], "mask": SENT, "soft_inpainting": {"mask_influence": 2}}, 422, "mask_influence"),
    ],
)
def test_bad_bodies_of_our_own_are_refused(house: RestHouse, body: dict[str, Any], status: int, text: str) -> None:
    answer = own(house, **body)
    assert answer.status_code == status, answer.text
    assert text in answer.text


def test_our_own_paths_ask_for_the_same_login(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--api-auth", "me:secret") as guarded:
        assert guarded.client.post("/v1/img2img", json={}).status_code == 401


def test_outpainting_is_asked_for_as_a_script(house: RestHouse) -> None:
    args = [32, 4, "fill", ["left"]]
    assert img2img(house, script_name="Poor man's Outpainting", script_args=args).status_code == 200
    assert house.runner.seen[-1].script == ScriptCall(name="Poor man's Outpainting", args=tuple(args))
    assert img2img(house, script_name="outpainting mk2", script_args=["", 16]).status_code == 200
    assert house.runner.seen[-1].script == ScriptCall(name="outpainting mk2", args=("", 16))
    wrong = img2img(house, script_name="outpainting mk2", script_args=[*args, 0.5, 0.5, 1])
    assert (wrong.status_code, "takes 6" in wrong.text) == (422, True)
    assert house.txt2img(script_name="outpainting mk2", script_args=args).status_code == 422


def soft(*args: Any) -> dict[str, Any]:
    return {"mask": SENT, "alwayson_scripts": {"Soft Inpainting": {"args": list(args)}}}


def test_soft_inpainting_is_asked_for_as_a_script(house: RestHouse) -> None:
    img2img(house, **soft(True, 2, 0.25))
    mask = house.runner.seen[-1].mask
    assert mask is not None
    assert mask.soft == SoftSpec(schedule_bias=2, preservation_strength=0.25)
    for off in (soft(False, 2), soft(), {"mask": SENT, "alwayson_scripts": {"soft inpainting": {}}}):
        assert img2img(house, **off).status_code == 200
        mask = house.runner.seen[-1].mask
        assert mask is not None
        assert mask.soft is None


def test_an_infotext_asks_for_soft_inpainting(house: RestHouse) -> None:
    text = (
        "a\nSteps: 2, Sampler: Euler, CFG scale: 4, Seed: 9, Size: 64x64, Soft inpainting enabled: True, "
        "Soft inpainting schedule bias: 2, Soft inpainting preservation strength: 0.25"
    )
    wanted = SoftSpec(schedule_bias=2, preservation_strength=0.25)
    for more, soft_spec in (({}, wanted), (soft(True, 5), SoftSpec(schedule_bias=5)), (soft(False), None)):
        assert img2img(house, **{"mask": SENT, "infotext": text, **more}).status_code == 200
        mask = house.runner.seen[-1].mask
        assert mask is not None
        assert mask.soft == soft_spec
    wrong = img2img(house, mask=SENT, infotext=text.replace("0.25", "much"))
    assert (wrong.status_code, "preservation strength" in wrong.text) == (422, True)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"init_images": None}, 404, "Init image not found"),
        ({"init_images": []}, 404, "Init image not found"),
        ({"init_images": ["no picture"]}, 422, "Invalid encoded image"),
        ({"init_images": [base64.b64encode(b"GIF89a").decode()]}, 422, "Invalid encoded image"),
        ({"init_images": [SENT, SENT]}, 422, "init_images"),
        ({"init_images": ["https://127.0.0.1/a.png"]}, 403, "Request to local resource not allowed"),
        ({"mask": "no picture"}, 422, "Invalid encoded image"),
        ({"resize_mode": 9}, 422, "resize_mode"),
        ({"denoising_strength": 2}, 422, "denoising_strength"),
        (soft(True, "x"), 422, "Schedule bias must be a number"),
        (soft(True, -1), 422, "schedule_bias"),
        ({"mask": SENT, "alwayson_scripts": {"soft inpainting": {"args": 5}}}, 422, "must be a list"),
        ({"mask": SENT, "latent_mask": "no picture"}, 422, "Invalid encoded image"),
        ({"firstpass_image": SENT}, 422, "firstpass_image"),
    ],
)
def test_bad_bodies_are_refused(house: RestHouse, body: dict[str, Any], status: int, text: str) -> None:
    answer = img2img(house, **body)
    assert answer.status_code == status, answer.text
    assert text in answer.text


def test_scripts_that_can_be_called_are_listed(house: RestHouse) -> None:
    listed = house.get("/scripts").json()
    plain = ["seed", "refiner", "sampler"]
    assert listed == {
        "txt2img": plain, "img2img": ["poor man's outpainting", "outpainting mk2", *plain, "soft inpainting"],
    }  # fmt: skip
    told = house.get("/script-info").json()
    for on_pictures, tab in ((False, "txt2img"), (True, "img2img")):
        assert [one["name"] for one in told if one["is_img2img"] is on_pictures] == listed[tab]
    assert {one["name"]: len(one["args"]) for one in told} == {
        "poor man's outpainting": 4, "outpainting mk2": 6, "seed": 6, "refiner": 3, "sampler": 3, "soft inpainting": 7,
    }  # fmt: skip


def test_what_script_info_tells_can_be_sent_back(house: RestHouse) -> None:
    for one in house.get("/script-info").json():
        args = [arg["value"] for arg in one["args"]]
        body = {"alwayson_scripts": {one["name"]: {"args": args}}}
        if not one["is_alwayson"]:
            body = {"script_name": one["name"], "script_args": args}
        call = img2img if one["is_img2img"] else RestHouse.txt2img
        answer = call(house, **body)
        assert answer.status_code == 200, answer.text
