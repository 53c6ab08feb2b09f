"""Asking for pictures over A1111's API."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.domain.param import walk_params
from modules.domain.plan import Note
from modules.domain.request import Generation, HiresSpec, RefinerSpec
from modules.settings.store import Freeze, SettingsStore
from modules.web.rest.schema import A1111_FIELDS, params, txt2img_model
from tests.web.rest_house import RestHouse, rest_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


def contract(shared_dir: Path, path: str, method: str = "POST") -> dict[str, Any]:
    listed = json.loads((shared_dir / "spec/api.json").read_text())["endpoints"]
    return next(one for one in listed if (one["path"], one["method"]) == (path, method))


def test_flat_names_are_unique() -> None:
    names = [item.name for item in walk_params(Generation) if item.name]
    assert len(names) == len(set(names))
    assert not set(names) & set(A1111_FIELDS)


def test_every_field_and_default_of_the_contract(shared_dir: Path, house: RestHouse) -> None:
    wanted = {name: field["default"] for name, field in contract(shared_dir, "/sdapi/v1/txt2img")["request"].items()}
    wanted["hr_cfg"] = 0.0  # Forge's field
    assert txt2img_model()().model_dump() == wanted
    assert house.txt2img().json()["parameters"] == {**wanted, "steps": 2, "width": 64, "height": 64}


def test_info_has_every_key_of_the_contract(shared_dir: Path, house: RestHouse) -> None:
    info = json.loads(house.txt2img().json()["info"])
    assert set(contract(shared_dir, "/sdapi/v1/txt2img")["info_json"]) <= set(info)


def test_echo_and_info_of_recordings(shared_dir: Path, house: RestHouse) -> None:
    folder = shared_dir / "golden/recordings"
    for name in ("01_samplers/euler", "08_batch/b2n2__euler", "14_misc/sampler_index_only", "14_misc/infotext_field",
                 "14_misc/legacy_sampler_name_with_scheduler", "14_misc/do_not_save_grid_b2"):  # fmt: skip
        payload = json.loads((folder / f"{name}.request.json").read_text())["payload"]
        wanted = json.loads((folder / f"{name}.response.json").read_text())["json"]
        answer = house.post("/txt2img", payload).json()
        info = json.loads(answer["info"])
        echoed = {key: value for key, value in answer["parameters"].items() if not key.startswith(("hr_", "scheduler"))}
        assert echoed.items() <= wanted["parameters"].items(), name
        for key in ("all_prompts", "all_negative_prompts", "all_seeds", "width", "height", "sampler_name", "cfg_scale",
                    "steps", "batch_size", "subseed_strength", "styles", "index_of_first_image"):  # fmt: skip
            assert info[key] == wanted["info"][key], (name, key)
        assert len(answer["images"]) == len(wanted["images"])


def test_the_answer_carries_pictures_with_their_infotext(house: RestHouse) -> None:
    answer = house.txt2img(prompt="a cat", seed=7, batch_size=2, width=72).json()
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in answer["images"]]
    assert [picture.size for picture in pictures] == [(72, 64), (72, 64)]
    info = json.loads(answer["info"])
    assert [picture.info["parameters"] for picture in pictures] == info["infotexts"]
    assert info["all_seeds"] == [7, 8]


def test_values_reach_the_request(house: RestHouse) -> None:
    house.txt2img(
        prompt="a", negative_prompt="b", styles=["ink"], seed=5, subseed=6, subseed_strength=0.25,
        seed_resize_from_h=128, seed_resize_from_w=192, sampler_name="Euler", scheduler="Karras", batch_size=2,
        n_iter=3, steps=4, cfg_scale=3.5, tiling=True, eta=0.5, s_churn=1, s_tmin=0.1, s_tmax=9, s_noise=1.01,
        s_min_uncond=0.3, override_settings={"CLIP_stop_at_last_layers": 2}, save_images=True,
    )  # fmt: skip
    request = house.runner.seen[-1]
    flat = {
        item.name: value
        for item in walk_params(Generation)
        for value in [_at(request, item.path)]
    }  # fmt: skip
    assert flat == {
        "prompt": "a", "negative_prompt": "b", "styles": ("ink",), "width": 64, "height": 64, "seed": 5, "subseed": 6,
        "subseed_strength": 0.25, "seed_resize_from_w": 192, "seed_resize_from_h": 128, "sampler_name": "Euler",
        "scheduler": "Karras", "steps": 4, "eta": 0.5, "s_churn": 1.0, "s_tmin": 0.1, "s_tmax": 9.0, "s_noise": 1.01,
        "cfg_scale": 3.5, "s_min_uncond": 0.3, "batch_size": 2, "n_iter": 3, "tiling": True, "restore_faces": None,
    }  # fmt: skip
    assert dict(request.overrides) == {"CLIP_stop_at_last_layers": 2}
    assert (request.output.save_images, request.output.save_grid) == (True, True)
    assert house.runner.contexts[-1].settings.value("CLIP_stop_at_last_layers") == 2
    assert house.services.settings.snapshot().value("CLIP_stop_at_last_layers") == 1
    assert set(params()) == set(flat)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(
    ("body", "sampler", "scheduler"),
    [
        ({}, "Euler", "Automatic"),
        ({"sampler_name": ""}, "Euler", "Automatic"),
        ({"sampler_name": None, "sampler_index": "Euler a"}, "Euler a", "Automatic"),
        ({"sampler_name": "Euler", "sampler_index": "Euler a"}, "Euler", "Automatic"),
        ({"sampler_name": "DPM++ 2M Karras"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "Euler", "scheduler": "Karras"}, "Euler", "Karras"),
    ],
)
def test_sampler_names(house: RestHouse, body: dict[str, Any], sampler: str, scheduler: str) -> None:
    assert house.txt2img(**body).status_code == 200
    sampling = house.runner.seen[-1].sampling
    assert (sampling.sampler, sampling.scheduler) == (sampler, scheduler)


def test_unknown_names_are_replaced_and_told(house: RestHouse) -> None:
    info = json.loads(house.txt2img(sampler_name="No Such", scheduler="Nor This").json()["info"])
    assert info["sampler_name"] == "DPM++ 2M"
    assert len(info["warnings"]) == 2


def test_strict_names_refuse(tmp_path: Path) -> None:
    with rest_house(tmp_path) as strict:
        strict.services.settings.set({"api_strict_names": True})
        answer = strict.txt2img(sampler_name="No Such")
        assert (answer.status_code, answer.json()["detail"]) == (400, "Sampler not found")


def test_overrides_can_be_left_behind(tmp_path: Path) -> None:
    with rest_house(tmp_path) as own:
        values = {"eta_ancestral": 0.5, "jpeg_quality": 41}
        own.txt2img(override_settings=values)
        assert own.get("/options").json()["eta_ancestral"] == 1
        assert own.txt2img(override_settings=values, override_settings_restore_afterwards=False).status_code == 200
        assert own.runner.contexts[-1].settings.value("eta_ancestral") == 0.5
        assert {key: own.get("/options").json()[key] for key in values} == values
        refused = own.txt2img(
            override_settings={"eta_ancestral": 0.1}, override_settings_restore_afterwards=False, steps=0
        )
        assert (refused.status_code, own.get("/options").json()["eta_ancestral"]) == (422, 0.5)


def test_frozen_settings_cannot_be_overridden(tmp_path: Path) -> None:
    with rest_house(tmp_path) as own:
        frozen = SettingsStore(tmp_path / "frozen.json", freeze=Freeze(keys=frozenset({"eta_ancestral"})))
        own.app.state.services = replace(own.services, settings=frozen)
        answer = own.txt2img(override_settings={"eta_ancestral": 0.5})
        assert (answer.status_code, "frozen" in answer.json()["detail"]) == (403, True)
        assert own.txt2img(override_settings={"eta_ancestral": 1.0, "eta_ddim": 0.5}).status_code == 200


@pytest.mark.parametrize("seed", [None, "", "  ", -1, "-1"])
def test_seeds_that_mean_random(house: RestHouse, seed: Any) -> None:
    assert house.txt2img(seed=seed, subseed=seed).status_code == 200
    assert (house.runner.seen[-1].seed.seed, house.runner.seen[-1].seed.subseed) == (-1, -1)


def test_saving_follows_save_images_only(house: RestHouse) -> None:
    house.txt2img(do_not_save_samples=False, do_not_save_grid=False)
    assert not house.runner.seen[-1].output.save_images
    house.txt2img(do_not_save_samples=True, do_not_save_grid=True, save_images=True)
    assert house.runner.seen[-1].output.save_images


def test_send_images_off_leaves_them_out(house: RestHouse) -> None:
    answer = house.txt2img(send_images=False).json()
    assert answer["images"] == []
    assert json.loads(answer["info"])["infotexts"]


def test_null_means_the_default_for_every_field(house: RestHouse) -> None:
    body = dict.fromkeys(txt2img_model().model_fields)
    assert house.post("/txt2img", {**body, "steps": None, "width": 64, "height": 64}).status_code == 200
    assert house.runner.seen[-1].sampling.steps == 50


def test_infotext_fills_what_the_request_left_out(house: RestHouse) -> None:
    text = "a boat, in ink\nNegative prompt: rain\nSteps: 5, Sampler: Euler a, CFG scale: 4, Seed: 99, Size: 128x64, Clip skip: 2"
    answer = house.post("/txt2img", {"infotext": text, "cfg_scale": 9})
    request = house.runner.seen[-1]
    assert (request.prompt, request.negative_prompt) == ("a boat, in ink", "rain")
    assert (request.sampling.steps, request.sampling.sampler, request.guidance.cfg_scale) == (5, "Euler a", 9)
    assert (request.seed.seed, request.size.width, request.size.height) == (99, 128, 64)
    assert dict(request.overrides) == {"CLIP_stop_at_last_layers": 2}
    assert answer.json()["parameters"]["override_settings"] == {"CLIP_stop_at_last_layers": 2}


def test_the_seed_resize_of_an_infotext_is_not_swapped(house: RestHouse) -> None:
    text = "a\nSteps: 5, Sampler: Euler, CFG scale: 4, Seed: 9, Size: 64x64, Seed resize from: 192x128"
    house.post("/txt2img", {"infotext": text})
    seed = house.runner.seen[-1].seed
    assert (seed.resize_from_width, seed.resize_from_height) == (192, 128)


def test_given_overrides_win_over_those_of_an_infotext(house: RestHouse) -> None:
    text = "a\nSteps: 2, Sampler: Euler, CFG scale: 4, Seed: 9, Size: 64x64, Clip skip: 2"
    house.post("/txt2img", {"infotext": text, "override_settings": {"CLIP_stop_at_last_layers": 3}})
    assert dict(house.runner.seen[-1].overrides) == {"CLIP_stop_at_last_layers": 3}


def test_control_characters_are_removed(house: RestHouse) -> None:
    assert house.txt2img(prompt="a\x00b\x07\r\nc\td").status_code == 200
    assert house.runner.seen[-1].prompt == "ab\nc\td"


def test_an_overridden_format_does_not_change_the_answer(house: RestHouse) -> None:
    house.txt2img(override_settings={"samples_format": "webp"})
    assert dict(house.runner.seen[-1].overrides) == {}
    house.txt2img(override_settings={"samples_format": "webp"}, save_images=True)
    assert dict(house.runner.seen[-1].overrides) == {"samples_format": "webp"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"restore_faces": True}, "restore_faces"),
        ({"override_settings": {"hypertile_enable_unet": True}}, "hypertile_enable_unet"),
    ],
)
def test_what_is_not_there_yet_is_named(house: RestHouse, body: dict[str, Any], field: str) -> None:
    answer = house.txt2img(**body)
    assert answer.status_code == 501
    assert answer.json()["error"] == "UnsupportedFeature"
    assert field in answer.json()["detail"]


def test_hires_and_refiner_reach_the_request(house: RestHouse) -> None:
    house.txt2img(
        enable_hr=True, denoising_strength=0.6, hr_scale=1.5, hr_upscaler="Lanczos", hr_second_pass_steps=3,
        hr_checkpoint_name="toy", hr_sampler_name="Euler", hr_prompt="b", refiner_checkpoint="toy",
        refiner_switch_at=0.5, firstphase_width=32, firstphase_height=40,
    )  # fmt: skip
    request = house.runner.seen[-1]
    assert request.hires == HiresSpec(
        denoising_strength=0.6, scale=1.5, upscaler="Lanczos", steps=3, checkpoint="toy", sampler="Euler", prompt="b"
    )
    assert request.refiner == RefinerSpec(checkpoint="toy", switch_at=0.5)
    assert (request.size.width, request.size.height) == (32, 40)
    text = "a\nSteps: 2, Sampler: Euler, Seed: 1, Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 4"
    house.txt2img(infotext=text)
    assert house.runner.seen[-1].hires == HiresSpec(
        denoising_strength=0.5, scale=1.5, steps=4, checkpoint="Use same checkpoint", sampler="Use same sampler",
        scheduler="Use same scheduler",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"enable_hr": True}, "denoising_strength"),
        ({"enable_hr": True, "denoising_strength": 0.5, "hr_checkpoint_name": "none such"}, "hr_checkpoint_name"),
        ({"enable_hr": True, "denoising_strength": 0.5, "hr_scale": 500}, "hr_scale"),
        ({"enable_hr": True, "denoising_strength": 0.5, "hr_scale": 0.05}, "hr_scale"),
        ({"refiner_checkpoint": "none such"}, "refiner_checkpoint"),
    ],
)
def test_bad_second_passes_are_refused(house: RestHouse, body: dict[str, Any], field: str) -> None:
    answer = house.txt2img(**body)
    assert answer.status_code == 422
    assert field in answer.text


def test_neutral_values_of_missing_features_pass(house: RestHouse) -> None:
    neutral = {
        "enable_hr": False, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7, "firstphase_width": 0,
        "refiner_checkpoint": "", "refiner_switch_at": 0.8, "restore_faces": False, "disable_extra_networks": True,
        "override_settings_restore_afterwards": False, "override_settings": {"hypertile_enable_unet": False},
        "alwayson_scripts": {"Sampler": {"args": []}, "seed": {}}, "script_args": [], "comments": {"a": 1},
    }  # fmt: skip
    answer = house.txt2img(**{**neutral, "override_settings_restore_afterwards": True})
    assert answer.status_code == 200, answer.text


def test_notes_of_the_job_reach_the_client(house: RestHouse) -> None:
    house.runner.notes = (Note(text="LoRA 'x' not found"),)
    info = json.loads(house.txt2img().json()["info"])
    house.runner.notes = ()
    assert info["warnings"] == ["LoRA 'x' not found"]


def test_prompts_may_be_lists_with_one_text_per_picture(house: RestHouse) -> None:
    answer = house.txt2img(prompt=["a\x00 cat", "a dog"], negative_prompt=["x", "y"], batch_size=2)
    assert answer.status_code == 200
    request = house.runner.seen[-1]
    assert (request.prompt, request.negative_prompt) == (("a cat", "a dog"), ("x", "y"))
    assert answer.json()["parameters"]["prompt"] == ["a\x00 cat", "a dog"]
    assert house.txt2img(prompt="a", negative_prompt=["x", "y"]).json()["parameters"]["negative_prompt"] == ["x", "y"]


def test_lists_of_prompts_must_agree_and_count_as_pictures(house: RestHouse) -> None:
    seen = len(house.runner.seen)
    answer = house.txt2img(prompt=["a", "b", "c"], negative_prompt=["x"])
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "negative_prompt"])
    assert "3 prompts and 1 negative prompts" in answer.json()["detail"][0]["msg"]
    most = house.services.settings.snapshot().api.api_max_images_per_request
    assert house.txt2img(prompt=["a"] * (most + 1)).json()["error"] == "LimitExceeded"
    assert len(house.runner.seen) == seen
