"""What extensions for A1111 put in the place of sampling takes effect, and what they leave alone stays as it is."""

import base64
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.request import BatchSpec, Generation, HiresSpec, SamplingSpec, SeedSpec, Size
from modules.engine.job import Owner
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house
from tests.pipeline.workshop import Studio

pytestmark = pytest.mark.slow
SAMPLERS = ["Euler", "Euler a", "DPM++ SDE", "DDIM", "DPM++ 2M CFG++"]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    only = tmp_path_factory.mktemp("only")
    (only / "own-sampling").symlink_to(ZOO / "own-sampling")
    with zoo_house(tmp_path_factory.mktemp("zoo"), zoo=only) as found:
        assert not found.loaded.faults
        yield found


def mode(name: str) -> dict[str, Any]:
    return {"alwayson_scripts": {"Own sampling": {"args": [name]}}}


def pixels(answer: dict[str, Any], place: int = 0) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(answer["images"][place])))
    return np.asarray(image.convert("RGB")).astype(int)


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return json.loads(answer["info"])


def seen() -> list[Any]:
    return sys.modules["own_sampling.py"].SEEN


def img2img(zoo: ZooHouse, **body: Any) -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "png")
    wanted = {
        "prompt": "a red circle", "steps": 3, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler",
        "init_images": [base64.b64encode(data.getvalue()).decode()],
    }  # fmt: skip
    answer = zoo.client.post("/sdapi/v1/img2img", json={**wanted, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool((pixels(one) == pixels(other)).all())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_wrapped_sample_changes_nothing(zoo: ZooHouse, sampler: str):
    body = {"sampler_name": sampler, "enable_hr": True, "hr_scale": 2, "denoising_strength": 0.6, "subseed": 8, "subseed_strength": 0.3}  # fmt: skip
    plain, found = zoo.txt2img(**body), zoo.txt2img(**body, **mode("wrap"))
    assert seen() == [1]
    assert same(plain, found)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_by_hand_is_the_first_pass(zoo: ZooHouse, sampler: str):
    plain = zoo.txt2img(sampler_name=sampler)
    found = zoo.txt2img(sampler_name=sampler, enable_hr=True, hr_scale=2, denoising_strength=0.6, **mode("hand"))
    assert same(plain, found)


def test_several_walks_of_any_size(zoo: ZooHouse):
    found = zoo.txt2img(**mode("larger"))
    assert pixels(found).shape == (128, 128, 3)


def test_a_sample_that_fails_is_told_and_the_picture_is_made(zoo: ZooHouse):
    plain, found = zoo.txt2img(), zoo.txt2img(**mode("fails"))
    assert same(plain, found)
    assert any("division by zero" in text for text in told(found)["warnings"])


def test_noise_is_what_p_rng_draws(zoo: ZooHouse):
    assert not same(zoo.txt2img(), zoo.txt2img(**mode("half")))
    for name in ("tensors", "image rng"):
        first, second = zoo.txt2img(seed=1, **mode(name)), zoo.txt2img(seed=2, **mode(name))
        assert same(first, second)
    assert not same(zoo.txt2img(seed=1), zoo.txt2img(seed=2))


def test_what_a_picture_starts_from_is_what_p_init_left(zoo: ZooHouse):
    plain, empty = img2img(zoo), img2img(zoo, **mode("init"))
    assert seen() == [(1, 4, 8, 8)]
    assert not same(plain, empty)


def test_encoded_prompts_are_those_of_setup_conds(zoo: ZooHouse):
    swapped = zoo.txt2img(negative_prompt="grey", **mode("conds"))
    assert same(swapped, zoo.txt2img(prompt="grey", negative_prompt="a red circle"))


def test_combine_denoised_of_a_replaced_denoiser_decides(zoo: ZooHouse):
    found = zoo.txt2img(negative_prompt="grey", **mode("create"))
    assert seen() == [(1, 7.0, 0), (1, 7.0, 1), (1, 7.0, 2)]
    assert same(found, zoo.txt2img(prompt="grey", cfg_scale=1))
    # Also where the negative prompt would not be asked for.
    assert same(zoo.txt2img(negative_prompt="grey", cfg_scale=1, **mode("create")), found)


def test_a_replaced_forward_may_ask_for_another_scale(zoo: ZooHouse):
    found = zoo.txt2img(negative_prompt="grey", **mode("scale"))
    assert seen() == [7.0, 7.0, 7.0]
    assert np.abs(pixels(found) - pixels(zoo.txt2img(negative_prompt="grey", cfg_scale=3))).max() <= 1


@pytest.mark.parametrize("name", ["rows", "apply"])
def test_the_network_is_asked_through_what_was_replaced(zoo: ZooHouse, name: str):
    plain, found = zoo.txt2img(negative_prompt="grey"), zoo.txt2img(negative_prompt="grey", **mode(name))
    assert seen() == [2, 2, 2]
    assert np.abs(pixels(found) - pixels(plain)).max() <= 1
    assert same(zoo.txt2img(seed=1, **mode("grey")), zoo.txt2img(seed=2, **mode("grey")))


def test_hooks_see_both_passes(zoo: ZooHouse):
    zoo.txt2img(enable_hr=True, hr_scale=2, denoising_strength=0.6, **mode("watch"))
    small, large = (dict.fromkeys(("x", "noise"), (1, 4, side, side)) for side in (8, 16))
    assert seen() == [
        (False, small, 1, 1, True), "before hr", (True, large, 1, 1, True), ("samples", (1, 4, 16, 16)),
    ]  # fmt: skip


def test_the_hires_pass_hears_of_what_scripts_change_before_it(zoo: ZooHouse):
    body = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.5}
    wanted = zoo.txt2img(enable_hr=True, hr_scale=2, denoising_strength=0.9)
    assert same(zoo.txt2img(**body, **mode("stronger")), wanted)
    plain = zoo.txt2img(**body)
    assert not same(plain, wanted)
    assert same(zoo.txt2img(**body, **mode("hires")), plain)
    assert seen() == [(1, 4, 8, 8), (1, 4, 16, 16)]
    assert same(zoo.txt2img(**body, **mode("gather")), plain)


def test_latents_after_sampling_can_be_replaced(zoo: ZooHouse):
    assert same(zoo.txt2img(seed=1, **mode("flat")), zoo.txt2img(seed=2, **mode("flat")))


def test_pictures_start_from_pictures_as_ever(zoo: ZooHouse):
    body = {"denoising_strength": 0.6, "initial_noise_multiplier": 0.9, "sampler_name": "Euler a"}
    assert same(img2img(zoo, **body), img2img(zoo, **body, **mode("wrap")))


def test_steps_are_heard_by_what_replaced_their_method(zoo: ZooHouse):
    plain = zoo.txt2img()
    assert same(zoo.txt2img(**mode("steps")), plain)
    assert seen() == [(number, (1, 4, 8, 8), True) for number in range(3)]
    enough = zoo.txt2img(n_iter=2, **mode("enough"))
    assert [one[0] for one in seen()] == [0, 0]
    assert len(enough["images"]) == 2
    assert not same(enough, plain)


def test_layers_that_were_patched_in_place_are_asked(zoo: ZooHouse):
    plain = zoo.txt2img()
    one, every = zoo.txt2img(**mode("layer")), zoo.txt2img(**mode("every layer"))
    assert set(seen()) == {"GroupNorm"}
    assert not same(one, plain)
    assert not same(every, plain)
    assert same(zoo.txt2img(), plain)


def test_prompts_can_be_encoded_before_their_time(zoo: ZooHouse):
    plain = zoo.txt2img()
    assert same(zoo.txt2img(**mode("early conds")), plain)
    (count, shape), image = seen()
    assert (count, len(shape), image) == (1, 2, (1, 5, 1, 1))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pictures_are_those_of_the_program_without_extensions(zoo: ZooHouse, sampler: str):
    """Everything above compares runs among scripts; these are the same without any."""
    alone = replace(zoo.studio.shop, surround=lambda: None)
    request = Generation(
        prompt="a red circle AND a blue [square:line:2]", negative_prompt="grey", size=Size(width=64, height=64),
        seed=SeedSpec(seed=5, subseed=3, subseed_strength=0.2), batch=BatchSpec(size=2, count=2),
        sampling=SamplingSpec(sampler=sampler, steps=4), hires=HiresSpec(scale=1.5, denoising_strength=0.6),
    )  # fmt: skip
    among = zoo.services.desk.accept(request, Owner(source="ui")).wait(60)
    plain = Studio(shop=alone, models=zoo.studio.models).make(request)
    assert [one.data for one in among.images] == [one.data for one in plain.images]
