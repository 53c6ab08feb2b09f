"""Settings that extensions bring: declared late, kept in the same file, checked like the others."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.domain.errors import ForbiddenSetting, InvalidRequest, LimitExceeded, UnknownName
from modules.domain.param import param
from modules.settings.infotext_keys import settings_in_infotext
from modules.settings.sections import Section
from modules.settings.store import Freeze, SettingsStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    blur_radius: float = param(2.0, label="Radius", infotext="Blur radius", ge=0, le=100, help="In pixels.")
    blur_places: tuple[str, ...] = param((), label="Places")


PAGE = Section(name="blur", cls=Blur, id="blur", title="Blur", category="Extensions")


def store_with(tmp_path: Path, content: str = "{}", freeze: Freeze | None = None) -> SettingsStore:
    (tmp_path / "config.json").write_text(content)
    store = SettingsStore(tmp_path / "config.json", freeze=freeze)
    store.declare(PAGE)
    return store


def test_what_the_file_held_before_is_used(tmp_path: Path) -> None:
    store = store_with(tmp_path, '{"blur_radius": 7, "other_thing": 1}')
    assert store.snapshot().value("blur_radius") == 7
    assert store.snapshot().of(Blur) == Blur(blur_radius=7)
    store.set({"blur_places": ["a"], "tiling": True})
    kept = json.loads((tmp_path / "config.json").read_text())
    assert (kept["blur_radius"], kept["blur_places"], kept["other_thing"]) == (7, ["a"], 1)
    again = SettingsStore(tmp_path / "config.json")
    again.declare(PAGE)
    assert again.snapshot().of(Blur) == Blur(blur_radius=7, blur_places=("a",))


def test_a_wrong_value_in_the_file_gives_the_default(tmp_path: Path) -> None:
    assert store_with(tmp_path, '{"blur_radius": "x"}').snapshot().of(Blur) == Blur()


def test_values_are_checked_and_listeners_told(tmp_path: Path) -> None:
    store, heard = store_with(tmp_path), list[frozenset[str]]()
    store.on_change(heard.append)
    assert store.set({"blur_radius": "3"}, by="api") == {"blur_radius"}
    assert heard == [frozenset({"blur_radius"})]
    with pytest.raises(LimitExceeded, match="blur_radius"):
        store.set({"blur_radius": 1000})
    with pytest.raises(InvalidRequest, match="blur_radius"):
        store.overridden({"blur_radius": "x"})
    assert store.overridden({"blur_radius": 5}).value("blur_radius") == 5
    assert store.snapshot().value("blur_radius") == 3
    assert store.snapshot().flat()["blur_places"] == []


def test_without_the_extension_the_setting_is_unknown(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path / "config.json")
    with pytest.raises(UnknownName):
        store.set({"blur_radius": 1})


@pytest.mark.parametrize(
    "page", [PAGE, Section(name="x", cls=type("Copy", (Blur,), {}), id="x", title="", category="")]
)
def test_a_key_belongs_to_one_page(tmp_path: Path, page: Section) -> None:
    with pytest.raises(ValueError, match="blur_radius"):
        store_with(tmp_path).declare(page)


def test_keys_of_the_program_cannot_be_taken(tmp_path: Path) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Taking:
        tiling: bool = param(False, label="Tiling")

    with pytest.raises(ValueError, match="tiling"):
        SettingsStore(tmp_path / "c.json").declare(Section(name="t", cls=Taking, id="t", title="", category=""))


@pytest.mark.parametrize("freeze", [Freeze(sections=frozenset({"blur"})), Freeze(keys=frozenset({"blur_radius"}))])
def test_they_can_be_frozen(tmp_path: Path, freeze: Freeze) -> None:
    with pytest.raises(ForbiddenSetting):
        store_with(tmp_path, freeze=freeze).set({"blur_radius": 1})


def test_a_pasted_text_may_ask_for_them(tmp_path: Path) -> None:
    assert settings_in_infotext({"Blur radius": "4"}, store_with(tmp_path).snapshot()) == {"blur_radius": 4.0}
