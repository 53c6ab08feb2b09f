"""Pages of cards: what they list, how prompts may call it, what can be changed, and what is never damaged."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save, save_file

from modules.adapters.lora.catalog import LoraCatalog
from modules.domain.request import Generation, Size
from modules.engine.job import Owner
from modules.web.cards.facts import FileFacts, of_lora
from modules.web.cards.kinds import card_pages
from modules.web.cards.pages import CardPage, Kind
from modules.web.rest.cards import card_html
from modules.web.ui.cards import cards_ui_router, tab_titles
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context

NOTES = {
    "description": "Ink <b>",
    "activation text": "ink drawing",
    "preferred weight": 0.7,
    "foreign": {"kept": [1, None]},
}
LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_{}.weight"
HOSTILE = "<img src=x onerror=alert(1)>"
MANY = 5000


def lora(path: Path, *, width: int = 768, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {LAYER.format("down"): np.zeros((1, width), np.float32), LAYER.format("up"): np.zeros((4, 1), np.float32)}
    save_file(tensors, path, metadata or None)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tags = json.dumps({"10_a": {"night": 3, "cat": 5}, "b": {"night": 4}})
    lora(
        tmp_path / "Lora" / "style" / "ink.safetensors",
        ss_output_name="Inked",
        ss_tag_frequency=tags,
        sshs_model_hash="ab" * 32,
    )
    (tmp_path / "Lora" / "style" / "ink.json").write_text(json.dumps(NOTES))
    (tmp_path / "Lora" / "style" / "ink.preview.png").write_bytes(png(8, 8, "old"))
    lora(tmp_path / "Lora" / "xl.safetensors", width=2048)
    told = {"trainedWords": ["hero, cape"], "description": "<p>Of the <i>site</i></p>", "baseModel": "SD 2.1"}
    (tmp_path / "Lora" / "xl.civitai.info").write_text(json.dumps(told))
    (tmp_path / "Lora" / "broken.safetensors").write_bytes(b"no")
    (tmp_path / "embeddings").mkdir()
    save_file({"emb_params": np.zeros((2, 768), np.float32)}, tmp_path / "embeddings" / "neg.safetensors")
    (tmp_path / "embeddings" / "neg.preview.png").write_bytes(png(8, 8, ""))
    (tmp_path / "embeddings" / "plain.png").write_bytes(png(8, 8, ""))
    (tmp_path / "hypernetworks").mkdir()
    (tmp_path / "hypernetworks" / "h.pt").write_bytes(b"never looked into")
    return tmp_path


@pytest.fixture
def house(folder: Path) -> Iterator[RestHouse]:
    with rest_house(folder) as made:
        made.app.include_router(cards_ui_router())
        made.app.state.ui_context = ui_context(made, folder)
        yield made


def ask(house: RestHouse, path: str, **params: Any) -> Any:
    return house.client.get(f"/internal/ui/cards/{path}", params=params)


def tell(house: RestHouse, path: str, **body: Any) -> Any:
    return house.client.post(f"/internal/ui/cards/{path}", json=body)


def cards(house: RestHouse, page: str = "lora") -> dict[str, Any]:
    return {card["key"]: card for card in ask(house, page).json()["cards"]}


def test_what_is_listed(house: RestHouse) -> None:
    listed = cards(house)
    assert list(listed) == ["broken.safetensors", "style/ink.safetensors", "xl.safetensors"]
    ink, other = listed["style/ink.safetensors"], listed["xl.safetensors"]
    assert {key: ink[key] for key in ("name", "alias", "folder", "text", "activation", "weight", "family", "hash", "tags", "meta")} == {
        "name": "ink", "alias": "Inked", "folder": "style", "text": "Ink <b>", "activation": "ink drawing", "weight": 0.7,
        "family": "sd1", "hash": "ab" * 6, "tags": "night cat", "meta": True,
    }  # fmt: skip
    assert (other["text"], other["tags"], other["family"]) == ("Of the site", "hero, cape", "sd2")
    assert "not a safetensors file" in listed["broken.safetensors"]["fault"]
    assert [*cards(house, "textual_inversion")] == ["neg.safetensors"]
    assert cards(house, "textual_inversion")["neg.safetensors"]["thumb"]
    assert [card["name"] for card in cards(house, "hypernetworks").values()] == ["h"]


def test_an_unchanged_list_is_not_sent_again(house: RestHouse, folder: Path) -> None:
    first = ask(house, "lora")
    headers = {"If-None-Match": first.headers["etag"]}
    assert house.client.get("/internal/ui/cards/lora", headers=headers).status_code == 304
    lora(folder / "Lora" / "new.safetensors")
    assert house.client.get("/internal/ui/cards/lora", headers=headers).status_code == 304
    assert "new.safetensors" in tell(house, "lora/refresh").text
    assert house.client.get("/internal/ui/cards/lora", headers=headers).status_code == 200
    assert house.refreshed == ["loras"]


def test_prompts_find_what_cards_call_networks(tmp_path: Path) -> None:
    for name, alias in (
        ("a", "one"),
        ("b", "one"),
        ("c", "a"),
        ("d", "none"),
        ("sub/e", "E"),
        ("deep/e", "e2"),
        ("f", "f"),
    ):
        lora(tmp_path / f"{name}.safetensors", ss_output_name=alias)
    page = card_pages(tmp_path / "cache", loras=[tmp_path]).get("lora")
    catalog = LoraCatalog([tmp_path])
    listed = page.listed.cards.values()
    assert len(listed) == 7
    for card in listed:
        for word in (card.alias or card.spelled or card.name, card.spelled or card.name):
            found = catalog.find(word)
            assert found is not None
            assert found.path == card.file.path, (card.key, word)
    assert page.get("f.safetensors").alias == ""
    assert page.get("a.safetensors").alias == ""


def test_thousands_of_files_are_looked_into_once(tmp_path: Path) -> None:
    data = save({LAYER.format("up"): np.zeros((1, 1), np.float32)}, {"ss_output_name": "x"})
    folder = tmp_path / "Lora"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"{number}.safetensors").write_bytes(data)
    looks: list[Path] = []

    def look(path: Path) -> FileFacts:
        looks.append(path)
        return of_lora(path) if len(looks) <= 10 else FileFacts(family="sd1")

    def started() -> CardPage:
        page = card_pages(tmp_path / "cache", loras=[folder]).get("lora")
        return CardPage(replace(page.kind, look=look), tmp_path / "cache")

    page = started()
    assert len(page.listed.cards) == MANY == len(looks)
    assert page.listed is page.listed
    assert len(page.refresh().cards) == MANY == len(looks)
    again = started()
    assert again.listed.tag == page.listed.tag
    assert len(looks) == MANY
    (folder / "7.safetensors").write_bytes(data + b" ")
    assert len(again.refresh().cards) == MANY
    assert looks[MANY:] == [folder / "7.safetensors"]


def test_notes_are_changed_and_others_stay(house: RestHouse, folder: Path) -> None:
    path = folder / "Lora" / "style" / "ink.json"
    changes = {"description": HOSTILE, "preferred weight": 0.5, "notes": "", "negative text": ""}
    assert tell(house, "lora/card", key="style/ink.safetensors", values=changes).status_code == 200
    assert json.loads(path.read_text()) == {**NOTES, "description": HOSTILE, "preferred weight": 0.5}
    card = cards(house)["style/ink.safetensors"]
    assert (card["text"], card["weight"]) == (HOSTILE, 0.5)
    told = ask(house, "lora/card", key="style/ink.safetensors").json()
    assert told["notes"] == {
        "description": HOSTILE, "sd version": None, "activation text": "ink drawing", "preferred weight": 0.5,
        "negative text": None, "notes": None,
    }  # fmt: skip
    assert told["tags"] == [["night", 7], ["cat", 5]]


def test_empty_notes_make_no_file(house: RestHouse, folder: Path) -> None:
    assert tell(house, "lora/card", key="xl.safetensors", values={"description": "", "notes": ""}).status_code == 200
    assert not (folder / "Lora" / "xl.json").exists()
    assert tell(house, "lora/card", key="xl.safetensors", values={"notes": "mine"}).status_code == 200
    assert json.loads((folder / "Lora" / "xl.json").read_text()) == {"notes": "mine"}


def test_damaged_notes_are_told_of_and_stay(house: RestHouse, folder: Path) -> None:
    path = folder / "Lora" / "xl.json"
    path.write_text('{"description": "half')
    assert "xl.json is damaged" in ask(house, "lora/card", key="xl.safetensors").json()["fault"]
    answer = tell(house, "lora/card", key="xl.safetensors", values={"notes": "mine"})
    assert answer.status_code == 422
    assert "xl.json is damaged" in answer.json()["detail"]
    assert path.read_text() == '{"description": "half'


@pytest.mark.parametrize(
    "values",
    [5, {"vae": "x"}, {"foreign": "x"}, {"notes": 5}, {"notes": "x" * 60_000}, {"preferred weight": "1"}, {"preferred weight": True},
     {"preferred weight": 1e9}, {"sd version": "SD9"}, {"../x": "y"}],
)  # fmt: skip
def test_what_is_no_note_is_refused(house: RestHouse, folder: Path, values: Any) -> None:
    assert tell(house, "lora/card", key="style/ink.safetensors", values=values).status_code == 422
    assert json.loads((folder / "Lora" / "style" / "ink.json").read_text()) == NOTES


@pytest.mark.parametrize(
    "key", ["", "ink", "../config.json", "style/../style/ink.safetensors", "/etc/passwd", "ink.safetensors\x00"]
)
def test_only_listed_cards_are_answered(house: RestHouse, key: str) -> None:
    for what in ("card", "metadata", "thumb", "cover"):
        assert ask(house, f"lora/{what}", key=key).status_code == 422, what
    assert tell(house, "lora/card", key=key, values={"notes": "x"}).status_code == 422
    assert ask(house, "other", key=key).status_code == 422


def generated(house: RestHouse, format: str = "png") -> tuple[str, bytes]:
    handle = house.services.desk.accept(Generation(size=Size(width=64, height=64)), Owner(source="ui"))
    assert handle.wait(10)
    made = handle.images()[0]
    assert made.format == format
    return handle.id, made.data


def test_the_selected_picture_becomes_the_preview(house: RestHouse, folder: Path) -> None:
    job, data = generated(house)
    for key, page, written in (
        ("style/ink.safetensors", "lora", "Lora/style/ink.preview.png"), ("xl.safetensors", "lora", "Lora/xl.png"),
        ("h.pt", "hypernetworks", "hypernetworks/h.preview.png"),
    ):  # fmt: skip
        answer = tell(house, f"{page}/preview", key=key, job=job, number=0)
        assert (answer.status_code, answer.json()) == (200, {"file": Path(written).name})
        assert (folder / written).read_bytes() == data
        assert ask(house, f"{page}/thumb", key=key).content == data
        assert cards(house, page)[key]["thumb"]


def test_a_preview_keeps_its_format_and_gets_the_infotext(house: RestHouse, folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "Lora" / "xl.jpg")
    tell(house, "lora/refresh")
    job, _ = generated(house)
    assert tell(house, "lora/preview", key="xl.safetensors", job=job, number=0).json() == {"file": "xl.jpg"}
    with Image.open(folder / "Lora" / "xl.jpg") as made:
        assert (made.format, made.size) == ("JPEG", (64, 64))
        assert "Steps: 20".encode("utf-16-be") in made.info["exif"] or b"Steps: 20" in made.info["exif"]


def test_a_preview_that_cannot_be_written_stays(house: RestHouse, folder: Path) -> None:
    Image.new("P", (4, 4)).save(folder / "Lora" / "xl.gif")
    before = (folder / "Lora" / "xl.gif").read_bytes()
    tell(house, "lora/refresh")
    job, data = generated(house)
    assert tell(house, "lora/preview", key="xl.safetensors", job=job, number=0).json() == {"file": "xl.png"}
    assert (folder / "Lora" / "xl.gif").read_bytes() == before
    assert ask(house, "lora/thumb", key="xl.safetensors").content == data


def test_a_model_is_never_overwritten_by_a_preview(tmp_path: Path) -> None:
    from modules.web.cards.sheet import preview_target

    (tmp_path / "x.png").write_bytes(png(8, 8, ""))
    (tmp_path / "x.pt").write_bytes(b"x")
    kind = Kind(
        id="textual_inversion", title="", look=lambda _path: FileFacts(), preview_mark=".preview",
        files=lambda: [(path.name, path) for path in sorted(tmp_path.glob("x.p*"))],
    )  # fmt: skip
    page = CardPage(kind, tmp_path / "cache")
    for card in page.listed.cards.values():
        assert preview_target(page, card, "png") == tmp_path / "x.preview.png"


@pytest.mark.parametrize(("job", "number"), [("nothing", 0), (None, 9), (None, -1), (None, "0"), (None, None)])
def test_only_pictures_of_jobs_become_previews(house: RestHouse, folder: Path, job: str | None, number: Any) -> None:
    own, _ = generated(house)
    assert tell(house, "lora/preview", key="xl.safetensors", job=job or own, number=number).status_code == 404
    assert not list((folder / "Lora").glob("xl.p*"))


def test_previews_are_not_sent_twice(house: RestHouse, folder: Path) -> None:
    first = ask(house, "lora/thumb", key="style/ink.safetensors")
    assert first.headers["x-content-type-options"] == "nosniff"
    name = str(folder / "Lora" / "style" / "ink.preview.png")
    headers = {"If-None-Match": first.headers["etag"]}
    for address in (
        "/internal/ui/cards/lora/thumb?key=style/ink.safetensors",
        f"/sd_extra_networks/thumb?filename={name}",
    ):
        again = house.client.get(address, headers=headers)
        assert (again.status_code, again.content) == (304, b"")


def test_a_card_as_html_does_nothing(house: RestHouse, folder: Path) -> None:
    (folder / "Lora" / "style" / "ink.json").write_text(json.dumps({"description": HOSTILE}))
    answer = house.client.get(
        "/sd_extra_networks/get-single-card", params={"page": "Lora", "tabname": '"><i>', "name": "ink"}
    )
    shown = answer.json()["html"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert shown.count("<img") == 1
    assert "<i>" not in shown
    page = house.services.cards.get("lora")
    assert shown == card_html(page.get("style/ink.safetensors"), '"><i>')
    for wrong in ({"page": "lora", "name": "nobody"}, {"page": "x", "name": "ink"}, {}):
        assert house.client.get("/sd_extra_networks/get-single-card", params=wrong).json() == {"html": ""}


def test_options_follow_the_settings(house: RestHouse) -> None:
    house.services.settings.set({
        "extra_networks_card_width": 120, "lora_preferred_name": "Filename", "lora_hide_unknown_for_versions": ["SD1"],
        "extra_networks_card_order": "Descending",
    })  # fmt: skip
    told = house.client.get("/internal/ui/cards").json()
    assert (told["width"], told["aliases"], told["descending"], told["hide_unknown"]) == (120, False, True, False)


def test_order_of_the_pages() -> None:
    assert [*tab_titles("")] == ["textual_inversion", "hypernetworks", "checkpoints", "lora"]
    assert [*tab_titles("Lora, checkpoints,other")] == ["lora", "checkpoints", "textual_inversion", "hypernetworks"]
