"""Names from outside stay inside."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.domain.errors import PathRefused
from modules.files.paths import safe_child, safe_descendant, safe_name

HOSTILE = [
    "", ".", "..", "../x", "../../x", "/etc/passwd", "/", "a/../../x", "a\\b", "..\\x", "C:\\x", "C:x", "\\\\host\\share",
    "x\x00.png", "x\n.png", "x\x7f", "\x1b[31m", "con", "NUL.txt", "Aux.tar.gz", "com1", "LPT9.png", "COM¹", "CONOUT$",
    "file.txt:stream", "name.", "name ", "name . ", "\u202egpj.exe", "\ud800", "é" * 128, "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("join", [safe_child, safe_descendant])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(tmp_path: Path, join: Callable[[Path, str], Path], name: str) -> None:
    with pytest.raises(PathRefused) as caught:
        join(tmp_path, name)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()


@pytest.mark.parametrize(
    "name", ["a.png", ".hidden", "..a", "a..b", "console.txt", "ümlaut ☃.safetensors", "<img src=x>.pt", "-rf", "a b"]
)
def test_plain_names_are_joined(tmp_path: Path, name: str) -> None:
    assert safe_child(tmp_path, name) == tmp_path.resolve() / name


def test_a_path_below_the_folder_is_joined_part_by_part(tmp_path: Path) -> None:
    assert safe_descendant(tmp_path, "style/cats.safetensors") == tmp_path.resolve() / "style" / "cats.safetensors"
    for relative in ("style//cats", "style/../cats", "/style", "style/", "style/nul"):
        with pytest.raises(PathRefused):
            safe_descendant(tmp_path, relative)


def test_a_link_is_followed_before_it_is_judged(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    outside.touch()
    (root / "inner.txt").touch()
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "in").symlink_to("inner.txt")
    (root / "self").symlink_to("self")
    for name in ("out", "up", "self"):
        with pytest.raises(PathRefused):
            safe_child(root, name)
    with pytest.raises(PathRefused):
        safe_descendant(root, "up/secret.txt")
    assert safe_child(root, "in") == root.resolve() / "inner.txt"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert safe_child(tmp_path / "link", "a") == (tmp_path / "real" / "a").resolve()


def test_a_folder_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root-of-somebody-else").mkdir()
    (tmp_path / "root" / "x").symlink_to(tmp_path / "root-of-somebody-else")
    with pytest.raises(PathRefused):
        safe_child(tmp_path / "root", "x")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../x", ".._x"), ("a/b\\c", "a_b_c"), ("  a b. ", "a b"), ("", "_"), ("...", "_"), ("nul", "_nul"),
        ("a\x00b", "ab"), ("\u202egpj.exe", "gpj.exe"), ('#<>:"|?*', "________"), ("line\nbreak", "line_break"),
    ],
)  # fmt: skip
def test_texts_become_names(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(text=st.text(alphabet=st.characters(), max_size=300), limit=st.integers(8, 255))
def test_every_cleaned_text_is_a_name_we_accept(
    tmp_path_factory: pytest.TempPathFactory, text: str, limit: int
) -> None:
    name = safe_name(text, limit)
    root = tmp_path_factory.getbasetemp()
    assert len(name.encode()) <= limit
    assert safe_child(root, name).parent == root.resolve()
    assert safe_name(name, limit) == name


@given(text=st.text(max_size=60))
def test_whatever_is_accepted_lies_directly_inside(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        path = safe_child(root, text)
    except PathRefused:
        return
    assert os.path.dirname(path) == str(root.resolve())
