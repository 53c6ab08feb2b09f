"""Files that may be put beside a checkpoint: listed and chosen as Forge's clients do it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.rest_house import RestHouse, rest_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as house:
        yield house


def test_text_encoders_and_vaes_are_listed(house: RestHouse) -> None:
    file = {"model_name": "clip_l.safetensors", "filename": "/models/text_encoder/clip_l.safetensors"}
    assert house.get("/sd-modules").json() == [file]


def test_settings_take_them_and_refuse_what_is_no_list(house: RestHouse) -> None:
    assert house.post("/options", {"forge_additional_modules": ["clip_l.safetensors"]}).status_code == 200
    assert house.get("/options").json()["forge_additional_modules"] == ["clip_l.safetensors"]
    refused = house.post("/options", {"forge_additional_modules": "clip_l.safetensors"})
    assert (refused.status_code, "forge_additional_modules" in refused.text) == (422, True)
    for key, value in (("sd_prediction_type", "w"), ("fp8_storage", "Sometimes")):
        assert house.post("/options", {key: value}).status_code == 422
