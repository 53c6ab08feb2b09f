"""Cards: what lies beside a model, what is remembered of it, and notes that are never damaged."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import StorageFault
from modules.library.cards import card_file, card_files
from modules.library.cards_facts import FactFile
from modules.library.cards_notes import Damaged, SiteFacts, change_notes, plain, read_notes, read_site
from modules.library.scan import scan_files
from modules.library.sidecars import preview_path

NAMES = ("x.png", "x.preview.png", "x.jpg", "x.preview.webp", "x.gif", "x.txt", "x.json", "x y.png", "other.png")


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(NAMES)))
def test_the_preview_is_the_one_that_a_look_at_each_name_finds(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = touched(tmp_path_factory.mktemp("previews"), "x.safetensors", *names)
    (card,) = card_files(scan_files(folder, [".safetensors"]))
    assert card.preview == preview_path(folder / "x.safetensors")


def test_files_beside_a_model(tmp_path: Path) -> None:
    touched(
        tmp_path, "a/x v1.5.pt", "a/x v1.5.json", "a/x v1.5.civitai.info", "a/x v1.5.txt", "a/x v1.json", "b/.c/y.pt"
    )
    cards = {card.relative: card for card in card_files(scan_files(tmp_path, [".pt"]))}
    assert {ending: path.name for ending, path in cards["a/x v1.5.pt"].texts.items()} == {
        ".json": "x v1.5.json", ".civitai.info": "x v1.5.civitai.info", ".txt": "x v1.5.txt"
    }  # fmt: skip
    assert [(card.name, card.folder, card.is_hidden) for card in cards.values()] == [
        ("x v1.5", "a", False), ("y", "b/.c", True)
    ]  # fmt: skip


def test_a_picture_that_is_a_model_is_its_own_preview_unless_there_is_another(tmp_path: Path) -> None:
    touched(tmp_path, "x.pt", "x.png", "lone.png", "seen.png", "seen.preview.webp")
    cards = {card.relative: card for card in card_files(scan_files(tmp_path, [".pt", ".png"]))}
    assert cards["lone.png"].preview == tmp_path / "lone.png"
    assert cards["seen.png"].preview == tmp_path / "seen.preview.webp"
    assert cards["x.pt"].preview == tmp_path / "x.png"
    assert cards["seen.png"].name == "seen"


def test_equal_names_of_two_folders_are_told_apart(tmp_path: Path) -> None:
    touched(tmp_path, "one/s/x.pt", "two/s/x.pt")
    listed = [pair for name in ("one", "two") for pair in scan_files(tmp_path / name, [".pt"])]
    cards = {card.relative: card.path for card in card_files(listed)}
    assert cards == {"s/x.pt": tmp_path / "one/s/x.pt", "two/s/x.pt": tmp_path / "two/s/x.pt"}


def test_a_model_that_is_gone_has_no_card(tmp_path: Path) -> None:
    assert card_file("x.pt", tmp_path / "x.pt") is None
    assert card_files([("x.pt", tmp_path / "x.pt")]) == ()


@pytest.fixture
def remembered(tmp_path: Path) -> Callable[[], FactFile[str]]:
    return lambda: FactFile(tmp_path / "cache" / "facts.json", version=1, dump=str, load=str)


def test_no_file_is_looked_into_twice(tmp_path: Path, remembered: Callable[[], FactFile[str]]) -> None:
    looks: list[str] = []

    def look(path: Path) -> str:
        looks.append(path.name)
        return path.name.upper()

    a, b = (tmp_path / "a", (1, 2)), (tmp_path / "b", (3,))
    first = remembered()
    assert first.all([a, b], look) == {a[0]: "A", b[0]: "B"}
    assert first.all([a, b], look) == remembered().all([a, b], look)
    assert looks == ["a", "b"]
    assert remembered().all([a, (b[0], (4,))], look) == {a[0]: "A", b[0]: "B"}
    assert looks == ["a", "b", "b"]
    assert remembered().all([a], look) == {a[0]: "A"}
    assert b[0].name not in (tmp_path / "cache" / "facts.json").read_text()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "files": []}', '{"version": 1, "files": [[1]]}', "[" * 5000]
)
def test_a_damaged_memory_is_begun_anew(tmp_path: Path, remembered: Callable[[], FactFile[str]], text: str) -> None:
    touched(tmp_path, "cache/facts.json")
    (tmp_path / "cache" / "facts.json").write_text(text)
    assert remembered().all([(tmp_path / "a", ())], lambda path: "seen") == {tmp_path / "a": "seen"}
    assert remembered().all([(tmp_path / "a", ())], lambda path: "again") == {tmp_path / "a": "seen"}


def test_a_memory_that_cannot_be_written_still_answers(tmp_path: Path) -> None:
    touched(tmp_path, "cache")
    facts = FactFile(tmp_path / "cache" / "facts.json", version=1, dump=str, load=str)
    assert facts.all([(tmp_path / "a", ())], lambda path: "seen") == {tmp_path / "a": "seen"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(notes=st.dictionaries(st.text(), JSON, max_size=5))
def test_entries_of_others_survive_an_edit(tmp_path_factory: pytest.TempPathFactory, notes: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("notes") / "x.json"
    path.write_text(json.dumps(notes), encoding="utf-8")
    after = change_notes(path, {"description": "mine"})
    assert after == json.loads(path.read_bytes()) == {**notes, "description": "mine"}
    assert list(after) == list({**notes, "description": ""})


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[1]", b'"x"', b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 9999,
     b'{"a": ' + b"9" * 5000 + b"}", b"{}" + b" " * (5 << 20)],
    ids=range(11),
)  # fmt: skip
def test_a_damaged_file_stays_as_it_is(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(raw)
    with pytest.raises(Damaged, match=r"x\.json"):
        change_notes(path, {"description": "mine"})
    assert path.read_bytes() == raw
    assert os.listdir(tmp_path) == ["x.json"]


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert change_notes(path, {}) == {}
    assert not path.exists()
    path.write_bytes('\ufeff{"b":1,\n"a":2.50}'.encode())
    before = path.read_bytes()
    assert change_notes(path, {"a": 2.5}) == {"b": 1, "a": 2.5}
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageFault, match="disk is full"):
        change_notes(path, {"a": 2})
    assert read_notes(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_a_model_site_told(tmp_path: Path) -> None:
    path = tmp_path / "x.civitai.info"
    told = {"name": "v2", "model": {"name": "Hero"}, "trainedWords": ["a, b", 5], "baseModel": "SD 1.5",
            "description": "<p>Use <b>0.8</b></p><script>alert(1)</script><p>2 &lt; 3</p>"}  # fmt: skip
    path.write_text(json.dumps(told))
    assert read_site(path) == SiteFacts(
        title="Hero, v2", description="Use 0.8\n2 < 3", words=("a, b",), base_model="SD 1.5"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"model": 5, "trainedWords": 5, "description": [], "name": null}']
)
def test_a_site_that_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.civitai.info").write_text(text)
    assert read_site(tmp_path / "x.civitai.info") == SiteFacts()
    assert read_site(tmp_path / "missing.civitai.info") == SiteFacts()


@given(st.text())
def test_words_of_markup_hold_no_markup(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert plain(f"<p>{escaped}</p>").split() == text.split()
