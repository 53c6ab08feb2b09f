"""Enlarging pictures over A1111's API: the same pixels as recorded, and clear refusals."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.imaging.upscale import PLAIN, UpscaleSpec, result_size, upscale
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house

SENT = base64.b64encode(png(48, 32, "a cat\nSteps: 1, Sampler: Euler, Seed: 1")).decode()
GROUP = Path(__file__).resolve().parents[3] / "shared" / "golden" / "recordings" / "16_extras"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


def single(house: RestHouse, **body: Any) -> Any:
    return house.post("/extra-single-image", {"image": SENT, "upscaler_1": "Lanczos", **body})


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def recorded(value: Any) -> Any:
    """Replace `@folder/file` by that file in base64."""
    if isinstance(value, str) and value.startswith("@"):
        return base64.b64encode((GROUP.parent / value[1:]).read_bytes()).decode()
    if isinstance(value, list):
        return [recorded(part) for part in value]
    return {key: recorded(part) for key, part in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("case", sorted(path.name.split(".")[0] for path in GROUP.glob("*.request.json")) or ["none"])
def test_recordings_are_reproduced(shared_dir: Path, house: RestHouse, case: str) -> None:
    request = json.loads((GROUP / f"{case}.request.json").read_text())
    wanted = json.loads((GROUP / f"{case}.response.json").read_text())["json"]
    answer = house.client.post(request["endpoint"], json=recorded(request["payload"])).json()
    if "info" in wanted:
        assert answer == wanted
        return
    assert answer["html_info"] == wanted["html_info"]
    ours = [answer["image"]] if "image" in answer else answer["images"]
    theirs = [wanted["image"]] if "image" in wanted else wanted["images"]
    for text, name in zip(ours, theirs, strict=True):
        made, was = opened(text), Image.open(GROUP / name)
        assert np.array_equal(np.asarray(made), np.asarray(was))
        assert made.info == was.info


def test_texts_of_the_picture_stay(house: RestHouse) -> None:
    made = opened(single(house).json()["image"])
    assert made.size == (96, 64)
    assert made.info["parameters"].startswith("a cat")
    assert made.info["postprocessing"] == "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"
    house.services.settings.set({"enable_pnginfo": False})
    assert opened(single(house).json()["image"]).info == {}
    house.services.settings.set({"enable_pnginfo": True})


def test_the_format_of_the_settings_is_used(house: RestHouse) -> None:
    house.services.settings.set({"samples_format": "webp"})
    answer = single(house).json()["image"]
    house.services.settings.set({"samples_format": "png"})
    assert opened(answer).format == "WEBP"


def test_without_an_upscaler_the_picture_stays_as_it_is(house: RestHouse) -> None:
    answer = single(house, upscaler_1="None", upscaling_resize=4).json()
    assert answer["html_info"] == "<p></p>"
    assert opened(answer["image"]).size == (48, 32)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"image": ""}, 422, "Invalid encoded image"), ({"image": "no picture"}, 422, "Invalid encoded image"),
        ({"image": 5}, 422, "image"), ({"resize_mode": 2}, 422, "resize_mode"), ({"upscaling_resize": 0}, 422, "upscaling"),
        ({"upscaling_resize": -4}, 422, "upscaling_resize"), ({"upscaling_resize": 1e9}, 422, "limit of 16"),
        ({"upscaling_resize": 0.01}, 422, "would become"), ({"upscaling_resize_w": 0}, 422, "upscaling_resize_w"),
        ({"resize_mode": 1, "upscaling_resize_w": 10**9}, 422, "api_max_upscaled_mpixels"),
        ({"upscaler_1": "Nope"}, 422, "could not find upscaler named Nope"), ({"upscaler_2": "Nope"}, 422, "upscaler_2"),
        ({"extras_upscaler_2_visibility": 2}, 422, "visibility"), ({"gfpgan_visibility": 0.5}, 501, "gfpgan_visibility"),
        ({"codeformer_visibility": 1}, 501, "Face restoration"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused(house: RestHouse, body: dict[str, Any], status: int, text: str) -> None:
    answer = single(house, **body)
    assert answer.status_code == status, answer.text
    assert text in answer.text
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "imageList"), ({"imageList": [{"data": SENT}]}, "name"), ({"imageList": "x"}, "imageList"),
        ({"imageList": [{"data": SENT, "name": "a"}] * 257}, "api_max_images_per_request"),
        ({"imageList": [{"data": SENT, "name": "a"}, {"data": "x!", "name": "b"}]}, "Invalid encoded image"),
    ],
)  # fmt: skip
def test_bad_batches_are_refused(house: RestHouse, body: dict[str, Any], text: str) -> None:
    answer = house.post("/extra-batch-images", {"upscaler_1": "Nearest", **body})
    assert answer.status_code == 422, answer.text
    assert text in answer.text


def test_all_pictures_together_are_limited(house: RestHouse) -> None:
    house.services.settings.set({"api_max_total_mpixels": 0.02})
    batch = {"upscaler_1": "Nearest", "imageList": [{"data": SENT, "name": "../../x"}] * 3}
    few = house.post("/extra-batch-images", batch)
    many = house.post("/extra-batch-images", {**batch, "imageList": batch["imageList"] * 2})
    house.services.settings.set({"api_max_total_mpixels": 2000})
    assert (few.status_code, len(few.json()["images"])) == (200, 3)
    assert (many.status_code, many.json()["error"]) == (422, "LimitExceeded")


def test_an_upscaler_with_a_factor_of_its_own_runs_until_the_size_is_reached() -> None:
    seen: list[tuple[int, int]] = []

    def fourfold(image: Image.Image, _factor: float) -> Image.Image:
        seen.append(image.size)
        return image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST)

    spec = UpscaleSpec(factor=10, first="x4")
    made = upscale(Image.new("RGB", (16, 8)), spec, max_pixels=10**6, upscalers={**PLAIN, "x4": fourfold})
    assert seen == [(16, 8), (64, 32)]
    assert made.size == (160, 80)


def test_sizes_are_multiples_of_eight() -> None:
    assert result_size(50, 30, UpscaleSpec(factor=1.5), 10**6) == (72, 40)
    assert result_size(50, 30, UpscaleSpec(size=(100, 100)), 10**6) == (160, 96)
    with pytest.raises(LimitExceeded):
        result_size(500, 300, UpscaleSpec(factor=8), 10**6)
    with pytest.raises(InvalidRequest):
        result_size(8, 100, UpscaleSpec(factor=0.5), 10**6)
