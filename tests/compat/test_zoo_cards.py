"""Pages of cards that extensions register."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow
NAME = "card-page"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    folder = tmp_path_factory.mktemp("cards")
    (folder / "zoo").mkdir()
    (folder / "zoo" / NAME).symlink_to(ZOO / NAME)
    spices = folder / "spices"
    spices.mkdir()
    for name in ("anise", "pepper"):
        (spices / f"{name}.spice").write_text("x")
    Image.new("RGB", (8, 8), "red").save(spices / "pepper.png")
    (spices / "pepper.txt").write_text("black and hot")
    with zoo_house(folder, zoo=folder / "zoo") as found:
        yield found


def cards(zoo: ZooHouse) -> dict[str, dict[str, Any]]:
    page = zoo.services.cards.get("Spice Rack")
    return {one["name"]: one for one in json.loads(page.listed.body)["cards"]}


def test_a_page_with_its_cards(zoo: ZooHouse):
    assert zoo.loaded.faults == {}
    assert [page.kind.title for page in zoo.services.cards.all][-1] == "Spice Rack"
    found = cards(zoo)
    assert list(found) == ["anise", "pepper", "clicked", "unread"]
    assert found["pepper"]["insert"] == '<spice:pepper:1.0> "hot"'
    assert found["pepper"]["against"] == "(bland:1.2)"
    assert found["pepper"]["text"] == "black and hot"
    assert "kitchen" in found["pepper"]["tags"]
    assert "thumb" in found["pepper"]
    assert "thumb" not in found["anise"]
    assert found["clicked"]["onclick"] == 'alert("x")'
    assert "cannot be read" in found["unread"]["fault"]


def test_previews_are_sent_from_its_folders_only(zoo: ZooHouse):
    preview = zoo.services.cards.get("spice_rack").get("pepper").preview
    answer = zoo.client.get("/sd_extra_networks/thumb", params={"filename": str(preview)})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    page = next(one for one in import_module("modules.ui_extra_networks").extra_pages if one.title == "Spice Rack")
    page.allowed_directories_for_previews = lambda: ["/somewhere/else"]
    try:
        assert zoo.services.cards.get("spice_rack").refresh().by_preview == {}
    finally:
        del page.allowed_directories_for_previews


def test_refreshing_asks_the_page(zoo: ZooHouse):
    page = next(one for one in import_module("modules.ui_extra_networks").extra_pages if one.title == "Spice Rack")
    before = page.looked
    folder = Path(import_module("modules.shared").data_path) / "spices"
    (folder / "cumin.spice").write_text("x")
    assert "cumin" not in cards(zoo)
    zoo.services.cards.get("spice_rack").refresh()
    assert page.looked == before + 1
    assert "cumin" in cards(zoo)
    html = zoo.client.get("/sd_extra_networks/get-single-card", params={"page": "spice_rack", "name": "cumin"}).json()
    assert "cumin" in html["html"]


def test_those_of_the_program_are_in_the_list(zoo: ZooHouse):
    pages = import_module("modules.ui_extra_networks").extra_pages
    assert [one.title for one in pages] == ["Textual Inversion", "Hypernetworks", "Checkpoints", "Lora", "Spice Rack"]
    assert list(pages[3].list_items()) == []
