"""Which extensions run, in which order, and what is said about the others."""

from pathlib import Path

import pytest

from modules.extending.clone import read_clone
from modules.extending.discover import Extension, Mode, discover, files_of, in_order, ordered_files
from modules.extending.metadata import Order, read_metadata
from tests.extending.extending_house import commit, git, make_extension


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "extensions-builtin", tmp_path / "extensions"


def meta(requires: str = "", name: str = "") -> dict[str, str]:
    return {"metadata.ini": f"[Extension]\n{f'Name = {name}' if name else ''}\nRequires = {requires}\n"}


def running(found: tuple[Extension, ...]) -> list[str]:
    return [one.name for one in found if one.active]


def test_those_of_the_program_come_first_then_by_name(places: tuple[Path, Path]) -> None:
    builtin, extra = places
    for parent, name in ((extra, "b"), (extra, "A"), (builtin, "z"), (extra, ".hidden"), (extra, "__pycache__")):
        make_extension(parent, name, {})
    (extra / "a file.txt").write_text("")
    found = discover(builtin, extra)
    assert [(one.name, one.is_builtin, one.enabled, one.active) for one in found] == [
        ("z", True, True, True), ("A", False, True, True), ("b", False, True, True),
    ]  # fmt: skip


def test_no_folders_are_no_extensions(places: tuple[Path, Path]) -> None:
    assert discover(*places) == ()


@pytest.mark.parametrize(
    ("mode", "disabled", "expected"),
    [
        (Mode.NONE, [], ["own", "mine", "other"]),
        (Mode.NONE, ["mine"], ["own", "other"]),
        (Mode.EXTRA, [], ["own"]),
        (Mode.EXTRA, ["own"], []),
        (Mode.ALL, [], []),
    ],
)
def test_switching_off(places: tuple[Path, Path], mode: Mode, disabled: list[str], expected: list[str]) -> None:
    builtin, extra = places
    make_extension(builtin, "own", {})
    make_extension(extra, "mine", {})
    make_extension(extra, "other", {})
    found = discover(builtin, extra, disabled=disabled, mode=mode, why="--some-flag")
    assert running(found) == expected
    assert all(one.reason for one in found if not one.active)
    assert [one.name for one in found if not one.enabled] == disabled
    assert mode is Mode.NONE or any("--some-flag" in one.reason for one in found)


def test_what_is_needed_comes_first_and_what_lacks_it_is_left_out_with_all_that_need_that(
    places: tuple[Path, Path],
) -> None:
    _, extra = places
    make_extension(extra, "a", meta("Zed"))
    make_extension(extra, "the-z", meta(name="ZED"))
    make_extension(extra, "c", meta("nobody"))
    make_extension(extra, "d", meta("c, zed"))
    make_extension(extra, "e", meta("off"))
    make_extension(extra, "off", {})
    found = discover(*places, disabled=["off"])
    assert running(found) == ["the-z", "a"]
    reasons = {one.name: one.reason for one in found if not one.active}
    assert reasons == {
        "c": "It needs nobody, which is not installed.",
        "d": "It needs c, which does not run.",
        "e": "It needs off, which does not run.",
        "off": "It is switched off.",
    }


def test_of_two_with_one_name_the_first_runs(places: tuple[Path, Path]) -> None:
    make_extension(places[1], "a", meta(name="same"))
    make_extension(places[1], "b", meta(name="Same"))
    found = discover(*places)
    assert running(found) == ["a"]
    assert "folder a has the same name" in found[1].reason


def test_those_that_need_each_other_run_in_their_usual_order(places: tuple[Path, Path]) -> None:
    make_extension(places[1], "a", meta("b"))
    make_extension(places[1], "b", meta("a"))
    assert running(discover(*places)) == ["a", "b"]


@pytest.mark.parametrize("text", ["no section", "[Extension\nName=x", "\0", "[a]\nx", "[Extension]\nName: %(x)s\n[\n"])
def test_a_broken_description_leaves_only_its_extension_out(places: tuple[Path, Path], text: str) -> None:
    make_extension(places[1], "broken", {"metadata.ini": text})
    make_extension(places[1], "fine", {})
    found = discover(*places)
    assert running(found) == ["fine"]
    assert found[1].reason.startswith("metadata.ini cannot be read")


def test_description(tmp_path: Path) -> None:
    text = """
[Extension]
Name = My-Thing
Requires = one, Two three
[scripts]
After = other
[scripts/Main.py]
Requires = other/first.py
Before = last
[callbacks/my-thing/blur]
Before = x/y, z/w
"""
    found = read_metadata(make_extension(tmp_path, "folder", {"metadata.ini": text}))
    assert (found.name, found.requires, found.fault) == ("my-thing", ("one", "two", "three"), "")
    assert found.order_of("scripts", "main.py") == Order(
        requires=("other/first.py",), before=("last",), after=("other",)
    )
    assert found.order_of("scripts", "helper.py") == Order(after=("other",))
    assert found.callbacks["my-thing/blur"].before == ("x/y", "z/w")


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ({}, "abcd"),
        ({"a": Order(after=("c",))}, "bcad"),
        ({"d": Order(before=("a",))}, "bcda"),
        ({"d": Order(before=("some",))}, "adbc"),
        ({"b": Order(after=("some",))}, "acbd"),
        ({"a": Order(requires=("d",)), "b": Order(before=("c",))}, "bcda"),
        ({"a": Order(after=("b",)), "b": Order(after=("a",))}, "abcd"),
        ({"a": Order(after=("nobody", "a"))}, "abcd"),
    ],
)
def test_order(orders: dict[str, Order], expected: str) -> None:
    assert "".join(in_order("abcd", orders, {"some": ["b", "c"]})) == expected


def test_files_over_all_extensions_in_the_order_they_ask_for(places: tuple[Path, Path]) -> None:
    _, extra = places
    make_extension(extra, "a", {"scripts/one.py": "", "scripts/two.py": "", "scripts/note.txt": "",
                                "metadata.ini": "[scripts/one.py]\nAfter = b\n[scripts/two.py]\nRequires = c"})  # fmt: skip
    make_extension(extra, "b", {"scripts/first.py": "", "scripts/zero.py": "", "scripts/deep/x.py": ""})
    found, reasons = ordered_files(discover(*places), "scripts", ".py")
    assert [one.canonical for one in found] == ["b/first.py", "b/zero.py", "a/one.py"]
    assert reasons == {"a/two.py": "It needs c, which is not installed."}


def test_only_files_that_lie_in_the_extension_count(places: tuple[Path, Path], tmp_path: Path) -> None:
    folder = make_extension(places[1], "a", {"javascript/b.js": "", "javascript/a.mjs": "", "javascript/c.css": ""})
    (tmp_path / "secret.js").write_text("secret")
    (folder / "javascript" / "link.js").symlink_to(tmp_path / "secret.js")
    (one,) = discover(*places)
    assert [path.name for path in files_of(one, "javascript", ".js", ".mjs")] == ["a.mjs", "b.js"]
    assert files_of(one, "html", ".html") == ()


def test_a_clone_is_read_without_git(tmp_path: Path) -> None:
    source = make_extension(tmp_path, "source", {"a.txt": "1"})
    first = commit(source)
    git(tmp_path, "clone", "-q", str(source), "copy")
    copy = tmp_path / "copy"
    found = read_clone(copy)
    assert found is not None
    assert (found.remote, found.branch, found.commit) == (str(source), "main", first)
    git(copy, "pack-refs", "--all")
    assert (read_clone(copy) or found).commit == first
    git(copy, "checkout", "-q", "--detach")
    detached = read_clone(copy)
    assert detached is not None
    assert (detached.branch, detached.commit) == ("", first)
    git(copy, "worktree", "add", "-q", str(tmp_path / "beside"), "-b", "side")
    beside = read_clone(tmp_path / "beside")
    assert beside is not None
    assert (beside.remote, beside.branch, beside.commit) == (str(source), "side", first)
    assert read_clone(tmp_path) is None


def test_extensions_know_where_they_come_from(places: tuple[Path, Path], tmp_path: Path) -> None:
    source = make_extension(tmp_path, "source", {"a.txt": "1"})
    first = commit(source)
    places[1].mkdir()
    git(places[1], "clone", "-q", str(source), "copy")
    (one,) = discover(*places)
    assert (one.remote, one.branch, one.commit, one.version) == (str(source), "main", first, first[:8])
