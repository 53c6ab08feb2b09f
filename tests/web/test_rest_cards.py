"""Previews and metadata of models, for cards."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house

COVER = png(24, 16, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cards")
    (made / "Lora").mkdir()
    told = {
        "ss_output_name": "ink", "ss_tags": '{"a": 1}', "note": "<b>bold</b>",
        "ssmd_cover_images": json.dumps([base64.b64encode(COVER).decode(), "no picture", 5]),
    }  # fmt: skip
    save_file({"a.lora_up.weight": np.zeros((4, 1), np.float32)}, made / "Lora" / "x.safetensors", told)
    save_file({"a.lora_up.weight": np.zeros((4, 1), np.float32)}, made / "Lora" / "y.safetensors")
    (made / "Lora" / "broken.safetensors").write_bytes(b"no")
    (made / "Lora" / "x.preview.png").write_bytes(COVER)
    (made / "Lora" / "other.png").write_bytes(b"not of a model")
    (made / "Lora" / "y.jxl").write_bytes(b"a kind that is not sent")
    return made


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[RestHouse]:
    with rest_house(folder) as made:
        yield made


def ask(house: RestHouse, path: str, **params: Any) -> Any:
    return house.client.get(f"/sd_extra_networks/{path}", params=params)


def test_the_preview_of_a_listed_model_is_sent(house: RestHouse, folder: Path) -> None:
    answer = ask(house, "thumb", filename=str(folder / "Lora" / "x.preview.png"))
    assert (answer.status_code, answer.content) == (200, COVER)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["", "x.preview.png", "/etc/passwd", "{}/Lora/x.safetensors", "{}/Lora/other.png", "{}/Lora/y.jxl", "{}/config.json",
     "{}/Lora/../Lora/x.preview.png", "{}/Lora/x.preview.png\x00", "{}/no such file.png", "http://127.0.0.1/x.png"],
)  # fmt: skip
def test_no_other_file_is_sent(house: RestHouse, folder: Path, name: str) -> None:
    answer = ask(house, "thumb", filename=name.replace("{}", str(folder)))
    assert (answer.status_code, answer.json()["detail"]) == (404, "File not found")


def test_pictures_inside_a_file(house: RestHouse) -> None:
    answer = ask(house, "cover-images", page="Lora", item="x", index=0)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    for wrong in (
        {"index": 1},
        {"index": 2},
        {"index": 9},
        {"index": -1},
        {"item": "y"},
        {"item": "broken"},
        {"page": "z"},
    ):
        answer = ask(house, "cover-images", **{"page": "Lora", "item": "x", "index": 0, **wrong})
        assert answer.status_code == 404, wrong


def test_metadata(house: RestHouse) -> None:
    told = json.loads(ask(house, "metadata", page="lora", item="x").json()["metadata"])
    assert told == {"ss_output_name": "ink", "ss_tags": {"a": 1}, "note": "<b>bold</b>"}
    for page, item in (("lora", "y"), ("lora", "broken"), ("lora", "../Lora/x"), ("hypernetworks", "x"), ("", "")):
        assert ask(house, "metadata", page=page, item=item).json() == {}


def test_cards_ask_for_the_same_login(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--api-auth", "me:secret") as guarded:
        assert ask(guarded, "metadata").status_code == 401
