"""Wildcards: stable choice, nesting, and files that are not offered."""

from pathlib import Path

import pytest

from modules.domain.errors import LimitExceeded
from modules.prompting.wildcards import Wildcards, expand_wildcards, scan_wildcards


@pytest.fixture
def wildcards(tmp_path: Path) -> Wildcards:
    folder = tmp_path / "wildcards"
    (folder / "deep").mkdir(parents=True)
    (folder / "colour.txt").write_text("red\n\n# note\ngreen\nblue\n", encoding="utf-8")
    (folder / "deep" / "hair_style.txt").write_text("__colour__ hair\n", encoding="utf-8")
    (folder / "self.txt").write_text("x__self__\n", encoding="utf-8")
    (folder / "many.txt").write_text("__many__" * 20, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return scan_wildcards(folder)


def test_the_seed_decides_and_nothing_else(wildcards: Wildcards):
    texts = [expand_wildcards("a __colour__ and __colour__ car", wildcards, seed) for seed in range(200)]
    assert texts == [expand_wildcards("a __colour__ and __colour__ car", wildcards, seed) for seed in range(200)]
    assert len(set(texts)) == 9  # both places choose on their own


def test_names_in_sub_folders_and_nested_names(wildcards: Wildcards):
    assert expand_wildcards("__deep/hair_style__", wildcards, 1) in {"red hair", "green hair", "blue hair"}
    assert expand_wildcards("___colour__", wildcards, 1) == "___colour__"


@pytest.mark.parametrize("name", ["none", "../secret", "link", "", "/etc/hostname", "a" * 10_000, "\x00"])
def test_unknown_names_stay_text(wildcards: Wildcards, name: str):
    assert expand_wildcards(f"a __{name}__ b", wildcards, 1) == f"a __{name}__ b"


def test_an_unknown_name_does_not_hide_the_next(wildcards: Wildcards):
    assert expand_wildcards("a __ b __colour__", wildcards, 1) in {f"a __ b {c}" for c in ("red", "green", "blue")}


def test_endless_nesting_stops(wildcards: Wildcards):
    assert expand_wildcards("__self__", wildcards, 1) == "x" * 8 + "__self__"
    with pytest.raises(LimitExceeded):
        expand_wildcards("__many__", wildcards, 1)
