"""Packages that extensions for A1111 import without asking for them, and what pip may do for an extension."""

import importlib.metadata
import os
import sys
import zipfile
from pathlib import Path

import pytest

from modules.cli import ROOT
from modules.compat import libraries
from modules.compat.join import needs_of
from modules.compat.launching import is_installed
from modules.compat.libraries import LIBRARIES, Libraries, Library, imported, imports_of, missing
from modules.compat.piecewise import in_place_of, split, without_extras
from modules.extending.discover import discover
from modules.extending.installers import Installers
from modules.extending.limits import limits, with_limits
from modules.files.layout import Layout
from tests.extending.extending_house import make_extension

SOURCE = """
import os, kite.wing as w
from typing import TYPE_CHECKING
from .beside import thing
if TYPE_CHECKING:
    import seen_by_checkers_only
else:
    import seen_by_python
def later():
    try:
        from string_of.kite import knot
    except ImportError:
        knot = "\\d"
"""


def test_imports_are_read_wherever_they_stand(tmp_path: Path):
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    assert imports_of(path) == {"os", "kite", "typing", "seen_by_python", "string_of"}


@pytest.mark.parametrize("text", [b"print 'two'", b"\xff\xfe\x00", b"x = (" * 5000])
def test_a_file_that_is_no_python_imports_nothing(tmp_path: Path, text: bytes):
    path = tmp_path / "a.py"
    path.write_bytes(text)
    assert imports_of(path) == set()


def test_only_what_lies_elsewhere_and_runs_counts(tmp_path: Path):
    folder = make_extension(
        tmp_path, "kite",
        {
            "scripts/main.py": "import wing, tail, cord", "wing.py": "", "tail/deep/end.py": "import knot",
            "tests/test_it.py": "import pytest", ".venv/x.py": "import hidden", "install.py": "import launch",
        },
    )  # fmt: skip
    assert imported(folder) == {"cord", "knot"}
    assert imported(make_extension(tmp_path, "native", {"webui_extension.py": "import cord"})) == frozenset()
    assert Libraries().state(tmp_path / "native") == ""


def test_the_table_names_each_module_once_and_nothing_that_the_program_brings():
    modules = [one.module for one in LIBRARIES]
    assert modules == sorted(set(modules))
    own = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    for one in LIBRARIES:
        assert one.packages
        for package in one.packages:
            name, _, version = package.partition("==")
            assert version
            assert name not in own


def test_those_that_are_there_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    known = (
        Library("kite_a", "kite-a==1", "knot==2"),
        Library("kite_b", "kite-b==1", "knot==2"),
        Library("os", "o==1"),
    )
    monkeypatch.setattr(libraries, "LIBRARIES", known)
    folder = make_extension(tmp_path, "kite", {"scripts/main.py": "import os, kite_b, kite_a"})
    assert [one.module for one in missing(folder)] == ["kite_a", "kite_b"]
    (step,) = Libraries().steps(folder)
    assert list(step.command[-3:]) == ["kite-a==1", "knot==2", "kite-b==1"]
    assert "kite_b (kite-b==1)" in step.remedy


def write_wheel(folder: Path, name: str, version: str, *, needs: str = "", extra: str = "") -> None:
    """Write a package of one empty module."""
    info, requires = f"{name}-{version}.dist-info", f"Requires-Dist: {needs}\n" if needs else ""
    if extra:
        requires = f"Provides-Extra: {extra}\nRequires-Dist: {needs}; extra == '{extra}'\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as made:
        made.writestr(f"{name}.py", "")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip know no other packages than those of a folder, and install into another one."""
    for name in ("wheels", "installed"):
        (tmp_path / name).mkdir()
    for name in [one for one in os.environ if one.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))
    monkeypatch.syspath_prepend(tmp_path / "installed")
    return tmp_path / "wheels"


@pytest.mark.slow
def test_what_is_absent_is_installed_once(tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libraries, "LIBRARIES", (Library("kitelib", "kitelib==1.5"),))
    marker = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()"
    folder = make_extension(
        tmp_path / "extensions", "kite", {"scripts/main.py": "import kitelib", "install.py": marker}
    )
    layout = Layout.of(ROOT, tmp_path, tmp_path / "models")
    installers = Installers(root=ROOT, record=tmp_path / "cache" / "installed.json", needs=needs_of(layout))
    found, said = discover(tmp_path / "none", tmp_path / "extensions"), list[str]()

    (told,) = installers.run_needed(found, said.append).values()  # there is no such package yet
    assert told.startswith("It imports kitelib (kitelib==1.5), which could not be installed.")
    assert "pip install kitelib==1.5" in told
    assert (folder / "ran").exists()

    write_wheel(shop, "kitelib", "1.5")
    assert installers.run_needed(found, said.append) == {}
    assert (tmp_path / "installed" / "kitelib.py").is_file()
    said.clear()
    assert installers.run_needed(found, said.append) == {}
    assert said == []


@pytest.mark.slow
def test_pip_leaves_the_packages_of_the_program_as_they_are(tmp_path: Path, shop: Path):
    write_wheel(shop, "numpy", "1.26.0")
    write_wheel(shop, "oldlib", "1.0", needs="numpy<2")
    lines = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'oldlib'], check=True)"
    make_extension(tmp_path / "extensions", "kite", {"scripts/main.py": "", "install.py": lines})
    layout = Layout.of(ROOT, tmp_path, tmp_path / "models")
    installers = Installers(root=ROOT, record=tmp_path / "a cache" / "installed.json", needs=needs_of(layout))
    said = list[str]()
    faults = installers.run_needed(discover(tmp_path / "none", tmp_path / "extensions"), said.append)
    assert "install.py failed" in faults["kite"]
    assert any("numpy==" in line and "constraint" in line for line in said), said
    assert not list((tmp_path / "installed").iterdir())


@pytest.mark.slow
def test_what_can_be_had_is_installed_and_the_rest_is_named(tmp_path: Path, shop: Path):
    write_wheel(shop, "numpy", "1.26.0")
    write_wheel(shop, "oldlib", "1.0", needs="numpy<2")
    write_wheel(shop, "goodlib", "1.0")
    write_wheel(shop, "morelib", "1.0", extra="old", needs="oldlib")
    lines = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', '-q', {}], check=True)"
    first = lines.format("'goodlib', 'oldlib'")
    folder = make_extension(tmp_path / "extensions", "kite", {"install.py": first})
    layout = Layout.of(ROOT, tmp_path, tmp_path / "models")
    installers = Installers(root=ROOT, record=tmp_path / "cache" / "installed.json", needs=needs_of(layout))
    found = discover(tmp_path / "none", tmp_path / "extensions")
    assert (
        "not installed, as nothing fits beside the packages of this program: oldlib"
        in installers.run_needed(found, lambda _: None)["kite"]
    )
    assert [path.name for path in (tmp_path / "installed").glob("*.py")] == ["goodlib.py"]
    (folder / "install.py").write_text(lines.format("'morelib[old]'"))
    assert installers.run_needed(found, lambda _: None) == {}
    assert (tmp_path / "installed" / "morelib.py").is_file()


def test_a_call_of_pip_falls_into_options_and_entries(tmp_path: Path):
    (tmp_path / "more.txt").write_text("# nothing\none>=1 # why\n--pre\n-r deep/er.txt\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "er.txt").write_text("two[a,b] ; python_version > '3'\n-f wheels\n")
    words = [
        "install",
        "-q",
        "--index-url",
        "https://example.org",
        "three",
        "-r",
        str(tmp_path / "more.txt"),
        "-e",
        "here",
        "--timeout=3",
    ]
    options, entries = split(words)
    assert options == ["install", "-q", "--index-url", "https://example.org", "--pre", "-f", "wheels", "--timeout=3"]
    assert entries == [("three",), ("one>=1",), ("two[a,b] ; python_version > '3'",), ("-e", "here")]
    assert [without_extras(one) for one in entries] == [None, None, ("two ; python_version > '3'",), None]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ([sys.executable, "-m", "pip", "install", "x"], ["install", "x"]), (["pip", "install", "x"], ["install", "x"]),
        ("/usr/bin/pip3.11 install 'x y'", ["install", "x y"]), (["pip", "list"], None), ("pip install x && ls", None),
        (["git", "install"], None), ("'", None), ([Path("a"), "-m", "pip", "install"], ["install"]),
    ],
)  # fmt: skip
def test_which_commands_are_calls_of_pip(command: object, arguments: list[str] | None):
    instead = in_place_of(command)
    assert (instead and instead[3:]) == arguments


def test_limits_are_what_is_there(tmp_path: Path):
    lines = limits(ROOT)
    assert f"pillow=={importlib.metadata.version('pillow')}" in lines
    assert [line for line in lines if line.startswith("tokenizers")]  # asked for by transformers
    assert not [line for line in lines if line.startswith("pillow") and "==" not in line]
    (tmp_path / "requirements.txt").write_text("pytest==0.1\n# nothing\nkitelib==2.0 # absent\nloose>=1\n")
    assert {"kitelib==2.0", f"pytest=={pytest.__version__}"} < set(limits(tmp_path))
    assert any(line.startswith("pluggy<2,>=1") for line in limits(tmp_path))
    file = tmp_path / "a folder" / "limits.txt"
    once = with_limits({"PIP_CONSTRAINT": "mine.txt"}, tmp_path, file, ["more==1"])
    assert once["PIP_CONSTRAINT"].split() == ["mine.txt", file.as_uri()]
    assert file.read_text().endswith("\nmore==1\n")
    assert with_limits(once, tmp_path, file) == once
    assert with_limits({}, tmp_path / "elsewhere", file) == {}


def test_opencv_with_windows_and_without_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not is_installed("opencv-python")
    (tmp_path / "cv2.py").touch()
    assert is_installed("opencv-python")
