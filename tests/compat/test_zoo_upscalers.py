"""Upscalers that extensions add, in the hires pass and in Extras."""

import base64
import io
import sys
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from tests.compat.test_zoo import info, opened, picture
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow
NAME = "more-upscalers"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    folder = tmp_path_factory.mktemp("upscalers")
    (folder / "zoo").mkdir()
    (folder / "zoo" / NAME).symlink_to(ZOO / NAME)
    with zoo_house(folder, zoo=folder / "zoo") as found:
        yield found


def test_lists_name_them(zoo: ZooHouse):
    listed = {one["name"]: one for one in zoo.client.get("/sdapi/v1/upscalers").json()}
    assert {"None", "Lanczos", "Nearest", "Mirror x2", "Inverted"} <= listed.keys()
    about = {"model_name": "mirror net", "model_path": "mirror.pth", "model_url": None, "scale": 2}
    assert listed["Mirror x2"] == {"name": "Mirror x2", **about}
    names = [one.name for one in import_module("modules.shared").sd_upscalers]
    assert names[:3] == ["None", "Lanczos", "Nearest"]
    assert names.count("Mirror x2") == names.count("Inverted") == 1


def test_the_hires_pass(zoo: ZooHouse):
    calls = sys.modules["more_upscalers.py"].CALLS
    calls.clear()
    body = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.5, "steps": 2}
    found = zoo.txt2img(hr_upscaler="Mirror x2", **body)
    assert calls == [((64, 64), "mirror.pth")]
    assert "Hires upscaler: Mirror x2" in info(found)["infotexts"][0]
    first = io.BytesIO()
    Image.fromarray(picture(zoo.txt2img(steps=2))[:, ::-1].astype(np.uint8)).save(first, "png")
    given = {"firstpass_image": base64.b64encode(first.getvalue()).decode()}
    assert (picture(found) == picture(zoo.txt2img(hr_upscaler="Nearest", **body, **given))).all()


def test_extras(zoo: ZooHouse):
    start = zoo.txt2img()
    body = {"image": start["images"][0], "upscaler_1": "Mirror x2", "upscaling_resize": 4}
    answer = zoo.client.post("/sdapi/v1/extra-single-image", json=body)
    assert answer.status_code == 200, answer.text
    made = opened({"images": [answer.json()["image"]]})
    assert made.size == (256, 256)
    # Mirrored twice.
    assert (
        np.asarray(made.convert("RGB").resize((64, 64), Image.Resampling.NEAREST)).astype(int) == picture(start)
    ).all()
    whole = zoo.client.post(
        "/sdapi/v1/extra-single-image", json={**body, "upscaler_1": "Inverted", "upscaling_resize": 2}
    )
    small = opened({"images": [whole.json()["image"]]}).convert("RGB").resize((64, 64), Image.Resampling.NEAREST)
    assert (255 - np.asarray(small).astype(int) == picture(start)).all()


def test_small_pictures_of_img2img(zoo: ZooHouse):
    small = zoo.txt2img()["images"][0]
    mirrored = io.BytesIO()
    Image.fromarray(picture({"images": [small]})[:, ::-1].astype(np.uint8)).save(mirrored, "png")
    body = {
        "prompt": "blue", "steps": 4, "width": 128, "height": 128, "seed": 5, "sampler_name": "Euler",
        "denoising_strength": 0.5,
    }  # fmt: skip

    def made(start: str, name: str) -> np.ndarray:
        asked = {**body, "init_images": [start], "override_settings": {"upscaler_for_img2img": name}}
        return picture(zoo.client.post("/sdapi/v1/img2img", json=asked).json())

    assert (made(small, "Mirror x2") == made(base64.b64encode(mirrored.getvalue()).decode(), "Nearest")).all()
    assert (made(small, "Mirror x2") != made(small, "Nearest")).any()
    assert zoo.client.get("/sdapi/v1/options").json()["upscaler_for_img2img"] is None


def test_what_cannot_be_is_told(zoo: ZooHouse):
    assert any("its weights are not there" in text for text in zoo.host.told)
    body = {"steps": 1, "width": 64, "height": 64, "enable_hr": True, "denoising_strength": 0.5}
    unknown = zoo.client.post("/sdapi/v1/txt2img", json={**body, "hr_upscaler": "Miror"})
    assert unknown.status_code in (400, 422)
    assert "Mirror x2" in unknown.text
    broken = zoo.client.post("/sdapi/v1/txt2img", json={**body, "hr_upscaler": "Returns nothing"})
    assert broken.status_code == 422
    assert "returned NoneType instead of a picture" in broken.text
