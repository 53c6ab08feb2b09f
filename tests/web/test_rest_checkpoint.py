"""The checkpoint is unloaded and brought back by hand, with A1111's answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.rest_house import RestHouse, rest_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as house:
        yield house


def test_unloading_and_reloading_answer_an_empty_object(house: RestHouse) -> None:
    for path, done in (("/unload-checkpoint", "unloaded"), ("/reload-checkpoint", "reloaded")):
        for body in ({}, None):
            answer = house.post(path, body)
            assert (answer.status_code, answer.json()) == (200, {})
        assert house.refreshed == [done, done]
        house.refreshed.clear()


def test_the_options_are_untouched(house: RestHouse) -> None:
    before = house.get("/options").json()
    house.post("/unload-checkpoint")
    assert house.get("/options").json() == before


def test_both_are_asked_for_by_post_only(house: RestHouse) -> None:
    assert house.get("/unload-checkpoint").status_code == 405
    assert house.refreshed == []
