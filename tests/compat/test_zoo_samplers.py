"""Samplers and schedules that extensions add to A1111's lists, run over the API."""

import base64
import io
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.compat.test_zoo import info, picture
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow
NAME = "more-samplers"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    folder = tmp_path_factory.mktemp("more")
    (folder / "zoo").mkdir()
    (folder / "zoo" / NAME).symlink_to(ZOO / NAME)
    with zoo_house(folder, zoo=folder / "zoo") as found:
        yield found


def seen() -> dict[str, Any]:
    return sys.modules["more_samplers.py"].SEEN


def test_lists_name_them(zoo: ZooHouse):
    assert zoo.loaded.faults == {}
    listed = {one["name"]: one for one in zoo.client.get("/sdapi/v1/samplers").json()}
    assert listed["Plain Euler"] == {"name": "Plain Euler", "aliases": ["k_plain_euler"], "options": {}}
    assert listed["Numbers Karras-ish"]["options"] == {"scheduler": "karras", "uses_ensd": "True"}
    assert {"Named Euler", "Our Heun"} <= listed.keys()
    schedules = {one["label"]: one for one in zoo.client.get("/sdapi/v1/schedulers").json()}
    assert schedules["Straight down"]["name"] == "straight"
    assert schedules["From inside"]["need_inner_model"]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Plain Euler", "Euler"),
        ("Named Euler", "Euler"),
        ("Half size", "Euler"),
        ("Counting", "Euler"),
        ("Our Heun", "Heun"),
    ],
)
def test_a_walk_is_the_one_that_was_written(zoo: ZooHouse, name: str, own: str):
    ours, theirs = zoo.txt2img(sampler_name=own), zoo.txt2img(sampler_name=name)
    assert np.abs(picture(ours) - picture(theirs)).max() <= 1
    assert f"Sampler: {name}," in info(theirs)["infotexts"][0]
    assert info(theirs)["sampler_name"] == name


def test_the_start_may_be_a_picture_and_there_may_be_a_second_pass(zoo: ZooHouse):
    body = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.7, "hr_upscaler": "Latent"}
    both = [zoo.txt2img(sampler_name=name, **body) for name in ("Euler", "Plain Euler")]
    assert np.abs(picture(both[0]) - picture(both[1])).max() <= 1
    second = zoo.txt2img(sampler_name="Euler", hr_sampler_name="Plain Euler", **body)
    assert "Hires sampler: Plain Euler" in info(second)["infotexts"][0]


def test_questions_of_another_size_under_a_mask(zoo: ZooHouse):
    mask = io.BytesIO()
    drawn = Image.new("L", (64, 64))
    drawn.paste(255, (16, 16, 48, 48))
    drawn.save(mask, "png")
    body = {
        "init_images": zoo.txt2img()["images"], "mask": base64.b64encode(mask.getvalue()).decode(), "mask_blur": 0,
        "prompt": "blue", "steps": 6, "width": 64, "height": 64, "seed": 5, "denoising_strength": 0.8,
    }  # fmt: skip
    made = [
        zoo.client.post("/sdapi/v1/img2img", json={**body, "sampler_name": name}).json()
        for name in ("Euler", "Half size")
    ]
    assert np.abs(picture(made[0]) - picture(made[1])).max() <= 1
    (_, height, width), small, latent = seen()["mask"]
    assert (height, width) == latent[-2:]
    assert small[-2:] == (height // 2, width // 2)


def test_numbers_and_noise_reach_the_function(zoo: ZooHouse):
    body = {"sampler_name": "Numbers Karras-ish", "eta": 0.5, "s_noise": 1.25}
    one, again, other = zoo.txt2img(**body), zoo.txt2img(**body), zoo.txt2img(**body, seed=6)
    assert seen()["options"] == (0.5, 1.25)
    assert seen()["levels"] == pytest.approx(14.6, abs=0.1)
    assert (picture(one) == picture(again)).all()
    assert (picture(one) != picture(other)).any()
    assert "Schedule type: Karras, " in info(one)["infotexts"][0]
    assert "Eta: 0.5" in info(one)["infotexts"][0]
    pair = zoo.txt2img(**body, batch_size=2)
    assert np.abs(picture(one) - picture(pair, -2 + len(pair["images"]))).max() <= 1


def test_noise_that_a_function_draws_by_itself_repeats(zoo: ZooHouse):
    torch.manual_seed(1)
    one = zoo.txt2img(sampler_name="Own noise")
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = zoo.txt2img(sampler_name="Own noise")
    assert (picture(one) == picture(again)).all()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_guidance_scale_is_served(zoo: ZooHouse):
    lower = zoo.txt2img(sampler_name="Unguided", negative_prompt="grey", cfg_scale=7)
    assert np.abs(picture(lower) - picture(zoo.txt2img(negative_prompt="grey", cfg_scale=1.5))).max() <= 2


def test_one_that_leaves_the_list_is_forgotten(zoo: ZooHouse):
    module = import_module("modules.sd_samplers")
    line = module.all_samplers_map["Named Euler"]
    module.all_samplers_map["For one run"] = module.SamplerData("For one run", line.constructor, [], {})
    assert (picture(zoo.txt2img(sampler_name="For one run")) == picture(zoo.txt2img(sampler_name="Named Euler"))).all()
    del module.all_samplers_map["For one run"]
    names = [one["name"] for one in zoo.client.get("/sdapi/v1/samplers").json()]
    assert "For one run" not in names
    assert "For one run" not in [one.label for _, _, one in zoo.host.made["samplers"].values()]


def test_a_class_hears_of_steps(zoo: ZooHouse):
    before = seen()["callbacks"]
    zoo.txt2img(sampler_name="Counting", steps=4)
    assert seen()["callbacks"] == before + 4


def test_an_interrupt_ends_a_walk_at_its_next_step(zoo: ZooHouse):
    found = zoo.txt2img(sampler_name="Interrupted", steps=8, n_iter=2)
    assert seen()["told"] == 0
    assert len(found["images"]) == 1


def test_names_are_checked_and_failures_told(zoo: ZooHouse):
    strict = {"prompt": "x", "steps": 1, "width": 64, "height": 64, "sampler_name": "Plain Oiler"}
    zoo.settings.set({"api_strict_names": True})
    told = zoo.client.post("/sdapi/v1/txt2img", json=strict)
    zoo.settings.set({"api_strict_names": False})
    assert told.status_code == 400
    assert "Sampler not found" in told.text
    broken = zoo.client.post("/sdapi/v1/txt2img", json={**strict, "sampler_name": "Breaks"})
    assert broken.status_code == 500
    assert "no idea how to walk" in broken.text
    none = zoo.client.post("/sdapi/v1/txt2img", json={**strict, "sampler_name": "Euler", "scheduler": "Broken"})
    assert none.status_code == 422
    assert "Broken made no levels" in none.text


def test_schedules(zoo: ZooHouse):
    straight = zoo.txt2img(scheduler="Straight down")
    assert "Schedule type: Straight down" in info(straight)["infotexts"][0]
    assert (picture(straight) != picture(zoo.txt2img())).any()
    inside, uniform = zoo.txt2img(scheduler="inside"), zoo.txt2img(scheduler="Uniform")
    assert (picture(inside) == picture(uniform)).all()
    assert "Schedule type: From inside" in info(inside)["infotexts"][0]
    named = zoo.txt2img(sampler_name="Plain Euler Straight down")
    assert "Sampler: Plain Euler, Schedule type: Straight down" in info(named)["infotexts"][0]
