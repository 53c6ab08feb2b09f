"""What happens with extensions at the start: switches, installers, safe mode, and what they bring together."""

from pathlib import Path

import pytest

from modules.domain.errors import PathRefused
from modules.extending.discover import Mode
from modules.extending.loader import NativeLoader
from modules.extending.manage import Places
from modules.extending.page_files import localizations, page_files, served
from modules.extending.start import Extending, Wish, open_extensions
from modules.hooks.points import PlanMade
from modules.settings.store import SettingsStore
from tests.extending.extending_house import commit, git, make_extension

HANDLER = """
from modules.hooks.points import PlanMade
def look(payload):
    return None
def register(registry):
    registry.handle(PlanMade, look)
"""
SETTINGS = """
from dataclasses import dataclass
from modules.domain.param import param
@dataclass(frozen=True)
class Own:
    {key}: bool = param(False, label="Own")
def register(registry):
    registry.settings_page("{key}", "Own", Own)
"""


def start(folder: Path, wish: Wish | None = None, config: str = "{}") -> Extending:
    (folder / "config.json").write_text(config)
    places = Places(
        root=folder, builtin=folder / "builtin", extra=folder / "extensions", states=folder / "config_states"
    )
    settings = SettingsStore(folder / "config.json")
    return open_extensions(places, folder / "cache", settings, [NativeLoader()], wish or Wish())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_extension(tmp_path / "builtin", "own", {"webui_extension.py": HANDLER})
    make_extension(tmp_path / "extensions", "mine", {"webui_extension.py": HANDLER})
    return tmp_path


def names(found: Extending) -> list[str]:
    return [one.name for one in found.hooks.handlers]


@pytest.mark.parametrize(
    ("wish", "config", "expected"),
    [
        (Wish(), "{}", ["mine/look", "own/look"]),
        (Wish(), '{"disabled_extensions": ["mine"]}', ["own/look"]),
        (Wish(), '{"disable_all_extensions": "extra"}', ["own/look"]),
        (Wish(), '{"disable_all_extensions": "all"}', []),
        (Wish(off=Mode.EXTRA, flag="--disable-extra-extensions"), "{}", ["own/look"]),
        (Wish(off=Mode.ALL, flag="--disable-all-extensions"), "{}", []),
        (Wish(off=Mode.EXTRA, flag="--disable-extra-extensions"), '{"disable_all_extensions": "all"}', []),
    ],
)
def test_switches(folder: Path, wish: Wish, config: str, expected: list[str]) -> None:
    assert names(start(folder, wish, config)) == expected


def test_a_start_that_was_cut_off_is_followed_by_one_without_extensions(folder: Path) -> None:
    start(folder)
    cut_off = start(folder)
    assert names(cut_off) == ["own/look"]
    assert "safe mode" in cut_off.manager.note
    assert "mine" in cut_off.manager.note
    assert any("safe mode" in line.extension.reason for line in cut_off.manager.lines()) is False
    again = start(folder)
    assert names(again) == ["mine/look", "own/look"]
    again.watch.ready()
    assert names(start(folder)) == ["mine/look", "own/look"]


def test_installers_run_before_what_they_install_is_used(folder: Path) -> None:
    code = "from .made import name\n" + HANDLER.replace(
        "registry.handle(PlanMade, look)", "registry.handle(PlanMade, look, name=name)"
    )
    installer = "import pathlib; (pathlib.Path(__file__).parent / 'made.py').write_text('name = \"fresh\"')"
    make_extension(folder / "extensions", "late", {"webui_extension.py": code, "install.py": installer})
    assert "late/fresh" not in names(start(folder, Wish(install=False)))
    (folder / "cache" / "starting.json").unlink()
    assert "late/fresh" in names(start(folder))


def test_a_failing_installer_is_told_in_the_list(folder: Path) -> None:
    make_extension(folder / "extensions", "late", {"install.py": "raise SystemExit('no such wheel')"})
    found = {line.extension.name: line for line in start(folder).manager.lines()}
    assert "no such wheel" in found["late"].faults[0]
    assert found["mine"].faults == ()


def test_all_can_be_updated_at_the_start(folder: Path) -> None:
    source = make_extension(folder, "source", {"webui_extension.py": HANDLER})
    commit(source)
    git(folder / "extensions", "clone", "-q", f"file://{source}", "cloned")
    (source / "webui_extension.py").write_text(HANDLER.replace("look", "newer"))
    commit(source)
    # Addresses on this disk are refused, which is told and does no harm.
    assert "cloned/look" in names(start(folder, Wish(update=True)))


def test_settings_of_extensions(folder: Path) -> None:
    for name, key in (("one", "one_own"), ("two", "tiling")):
        make_extension(folder / "extensions", name, {"webui_extension.py": SETTINGS.format(key=key)})
    found = start(folder, config='{"one_own": true}')
    assert found.manager.settings.snapshot().value("one_own") is True
    faults = {line.extension.name: line.faults for line in found.manager.lines()}
    assert faults["one"] == ()
    assert "another setting is called tiling" in faults["two"][0]


def test_scripts_of_one_id_are_told(folder: Path) -> None:
    code = "from tests.extending.brightness import Lighten\ndef register(registry):\n    registry.script(Lighten())\n"
    for name in ("one", "two"):
        make_extension(folder / "extensions", name, {"webui_extension.py": code})
    found = start(folder)
    assert len(found.scripts.always("txt2img")) == 1
    assert found.loaded.faults == {"two": ("Its script lighten is left out: one has one of that id.",)}


def test_an_order_that_cannot_be_is_left_out(folder: Path) -> None:
    (folder / "builtin" / "own" / "metadata.ini").write_text("[callbacks/look]\nAfter = mine/look")
    (folder / "extensions" / "mine" / "metadata.ini").write_text("[callbacks/look]\nAfter = own/look")
    found = start(folder)
    assert names(found) == ["mine/look", "own/look"]
    assert found.hooks.has(PlanMade)


def test_files_for_the_page(folder: Path) -> None:
    code = "def register(registry):\n    registry.page_file('deep/more.js')\n"
    make_extension(folder / "extensions", "page", {
        "webui_extension.py": code, "deep/more.js": "", "deep/secret.js": "", "javascript/b.mjs": "", "javascript/a.js": "",
        "style.css": "", "other.css": "", "javascript/key.pem": "", "html/part.html": "", "localizations/de.json": "{}",
    })  # fmt: skip
    loaded = start(folder).loaded
    assert [(one.path, one.kind) for one in page_files(loaded)] == [
        ("style.css", "style"), ("javascript/a.js", "script"), ("javascript/b.mjs", "module"), ("deep/more.js", "script"),
    ]  # fmt: skip
    assert [path.parent.name for path in localizations(loaded)] == ["page"]
    for path in ("style.css", "javascript/a.js", "html/part.html", "deep/more.js"):
        assert served(loaded, "page", path)[0].is_file()
    for path in (
        "webui_extension.py", "deep/secret.js", "javascript/key.pem", "other.css", "javascript/../webui_extension.py",
        "javascript", "html/none.html", "../mine/webui_extension.py", "javascript/\0.js", "/etc/passwd", "",
    ):  # fmt: skip
        with pytest.raises(PathRefused):
            served(loaded, "page", path)
    with pytest.raises(PathRefused):
        served(loaded, "nobody", "style.css")
