"""Mixtures under masks, overlays, grids and files: extensions are asked at each, and their answer counts."""

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.imaging.read_info import read_info
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    only = tmp_path_factory.mktemp("only")
    (only / "layer-over").symlink_to(ZOO / "layer-over")
    with zoo_house(tmp_path_factory.mktemp("zoo"), zoo=only) as found:
        assert not found.loaded.faults
        yield found


def mode(name: str) -> dict[str, Any]:
    return {"alwayson_scripts": {"Layer over": {"args": [name]}}}


def picture(answer: dict[str, Any], place: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["images"][place]))).convert("RGB")


def pixels(answer: dict[str, Any], place: int = 0) -> np.ndarray:
    return np.asarray(picture(answer, place)).astype(int)


def seen() -> list[Any]:
    return sys.modules["layer_over.py"].SEEN


def encoded(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "png")
    return base64.b64encode(data.getvalue()).decode()


def inpaint(zoo: ZooHouse, *, masked: bool = True, **body: Any) -> dict[str, Any]:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    wanted = {
        "prompt": "a red circle", "steps": 3, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler",
        "init_images": [encoded(Image.new("RGB", (64, 64), "teal"))], "inpainting_fill": 1, "mask_blur": 0,
        "inpaint_full_res": False, **({"mask": encoded(mask)} if masked else {}),
    }  # fmt: skip
    answer = zoo.client.post("/sdapi/v1/img2img", json={**wanted, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool((pixels(one) == pixels(other)).all())


def test_mixtures_are_shown_and_replaced(zoo: ZooHouse):
    free = inpaint(zoo, override_settings={"overlay_inpaint": False}, **mode("blend"))
    assert seen()[-1] == (True, True, False)
    assert set(seen()[:-1]) == {(False, False, True)}
    assert same(free, inpaint(zoo, masked=False))


def test_what_a_run_starts_from_lies_on_p(zoo: ZooHouse):
    found = inpaint(zoo, **mode("started"))
    assert seen() == [((1, 4, 8, 8), (1, 1, 8, 8), (1, 1, 8, 8), (1, 5, 1, 1), (64, 64), True)]
    # The overlay that was put on `p` is the one that lies over the picture.
    assert picture(found).getpixel((32, 32)) == (0, 255, 0)


def test_overlays_are_shown_and_replaced(zoo: ZooHouse):
    found = inpaint(zoo, **mode("overlay"))
    assert seen() == [(0, (64, 64), "RGBA")]
    assert picture(found).getextrema() == ((255, 255), (0, 0), (0, 0))


def test_pictures_are_shown_after_the_overlay(zoo: ZooHouse):
    found = inpaint(zoo, **mode("composite"))
    assert seen() == [(0, (0, 128, 128))]
    assert picture(found).getpixel((5, 5)) == (0, 0, 255)


@pytest.mark.parametrize("name", ["noise", "other noise"])
def test_extra_noise_is_shown_and_replaced(zoo: ZooHouse, name: str):
    extra: dict[str, Any] = {"override_settings": {"img2img_extra_noise": 0.5}}
    plain, noisy = inpaint(zoo), inpaint(zoo, **extra)
    assert not same(plain, noisy)
    assert same(inpaint(zoo, **extra, **mode(name)), plain)
    assert seen() == ([((1, 4, 8, 8),) * 3] if name == "noise" else [])


def test_grids_are_shown_and_laid_out(zoo: ZooHouse):
    body = {"n_iter": 2, "save_images": True, "override_settings": {"return_grid": True}}
    found = zoo.txt2img(**body, **mode("grid"))
    assert seen() == [(2, 2, 1)]
    assert picture(found).size == (64, 128)


def test_colours_that_scripts_ask_for(zoo: ZooHouse):
    red = pixels(zoo.txt2img(**mode("colours"))).mean((0, 1))
    assert red[0] > red[1] + 50


def test_files_are_announced_and_told_of(zoo: ZooHouse):
    body: dict[str, Any] = {"save_images": True}
    told = json.loads(zoo.txt2img(**body, **mode("files"))["info"])["infotexts"][0]
    assert told.endswith("Told: late")
    before, after = seen()
    assert before == ("before", (64, 64), ["parameters"], True)
    assert after[:3] == ("after", (64, 64), True)
    path = next(Path(zoo.studio.models).parent.rglob(after[3]))
    with Image.open(path) as image:
        assert (read_info(image).infotext or "").endswith("Told: late")


def test_overviews_are_told_of_too(zoo: ZooHouse):
    zoo.txt2img(save_images=True, n_iter=2, **mode("files"))
    assert [one[0] for one in seen()].count("after") == 3
    assert [one[3] for one in seen() if one[0] == "after"][-1].startswith("grid-")


def test_files_of_extensions_are_announced_too(zoo: ZooHouse):
    zoo.txt2img(**mode("own file"))
    before, after, path = seen()
    assert before[0] == "before"
    assert after == ("after", (64, 64), True, Path(path).name)
    with Image.open(path) as image:
        assert (read_info(image).infotext or "").endswith("Told: late")


def test_params_txt_tells_what_was_added_late(zoo: ZooHouse):
    answer = zoo.txt2img(**mode("late"))
    text = json.loads(answer["info"])["infotexts"][0]
    assert "Late: very" in text
    kept = zoo.studio.shop.last_prompt
    assert kept is not None
    assert kept.read_text() == text
