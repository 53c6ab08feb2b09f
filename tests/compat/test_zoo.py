"""Extensions as people write them for A1111, run over the API."""

import json
from collections.abc import Iterator

import pytest

from tests.compat.zoo_house import ZooHouse, zoo_house


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("zoo")) as found:
        yield found


def test_all_load(zoo: ZooHouse):
    assert zoo.loaded.faults == {}


def test_mood(zoo: ZooHouse):
    plain = zoo.txt2img()
    mood = zoo.txt2img(alwayson_scripts={"tell mood": {"args": [True, "wild"]}})
    info = json.loads(mood["info"])
    assert "Mood: wild" in info["infotexts"][0]
    assert "Mood strength: 1" in info["infotexts"][0]
    assert info["infotexts"][0].startswith("a red circle, wild")
    assert plain["images"] != mood["images"]
