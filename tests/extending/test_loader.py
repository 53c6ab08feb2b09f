"""Extensions are loaded one by one; one that fails, hangs or ends the program takes nobody with it."""

import time
from pathlib import Path

import pytest

from modules.extending.discover import discover
from modules.extending.loader import NativeLoader, Unit, load_all
from modules.extending.registry import Loaded
from modules.hooks.points import PlanMade
from tests.extending.extending_house import make_extension

HANDLER = """
from modules.hooks.points import PlanMade
def look(payload):
    return None
def register(registry):
    registry.handle(PlanMade, look)
"""


def load(folder: Path, limit_s: float = 20) -> Loaded:
    return load_all(discover(folder / "none", folder), [NativeLoader()], limit_s=limit_s)


def test_a_handler_is_named_after_its_extension(tmp_path: Path) -> None:
    make_extension(tmp_path, "Mine", {"webui_extension.py": HANDLER})
    loaded = load(tmp_path)
    assert [(one.name, one.hook) for one in loaded.handlers] == [("mine/look", PlanMade)]
    assert loaded.faults == {}


def test_files_beside_can_be_imported(tmp_path: Path) -> None:
    text = "from .other import name\ndef register(registry):\n    registry.handle(__import__('modules.hooks.points', fromlist=['x']).PlanMade, print, name=name)\n"
    make_extension(tmp_path, "my-thing", {"webui_extension.py": text, "other.py": "name = 'told'"})
    assert [one.name for one in load(tmp_path).handlers] == ["my-thing/told"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def register(", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("register = 3", "has no function register"),
        ("def register(registry):\n    raise SystemExit(3)", "SystemExit: 3"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("def register(registry):\n    registry.handle()", "TypeError"),
        (HANDLER + "    raise ValueError('late')", "ValueError: late"),
        ("def register(registry):\n    registry.tab('A tab', 'A tab', print)", "is no id"),
        ("def register(registry):\n    registry.page_file('../other/x.js')", "is no script"),
        ("import time\ntime.sleep(60)", "did not load within"),
    ],
)
def test_a_broken_one_is_named_and_the_others_run(tmp_path: Path, text: str, told: str) -> None:
    make_extension(tmp_path, "a-broken", {"webui_extension.py": text})
    make_extension(tmp_path, "fine", {"webui_extension.py": HANDLER})
    loaded = load(tmp_path, limit_s=1 if "sleep" in text else 20)
    assert [one.name for one in loaded.handlers] == ["fine/look"]
    assert list(loaded.faults) == ["a-broken"]
    assert told in loaded.faults["a-broken"][0]


def test_what_is_switched_off_is_not_run(tmp_path: Path) -> None:
    make_extension(tmp_path, "off", {"webui_extension.py": "raise ValueError('ran')"})
    loaded = load_all(discover(tmp_path / "none", tmp_path, disabled=["off"]), [NativeLoader()])
    assert (loaded.registries, loaded.faults) == ((), {})


def test_the_order_of_handlers_can_be_given_in_the_description(tmp_path: Path) -> None:
    make_extension(tmp_path, "a", {"webui_extension.py": HANDLER, "metadata.ini": "[callbacks/look]\nAfter = b/look"})
    make_extension(tmp_path, "b", {"webui_extension.py": HANDLER})
    handlers = load(tmp_path).handlers
    assert [one.after for one in handlers] == [("b/look",), ()]


def test_a_piece_may_be_given_more_time(tmp_path: Path) -> None:
    folder = make_extension(tmp_path, "slow", {"webui_extension.py": ""})
    (extension,) = discover(tmp_path / "none", tmp_path)

    class Slow:
        def units(self, extensions: object) -> list[Unit]:
            return [Unit(extension=extension, name="x", load=lambda _: time.sleep(0.2), limit_s=limit_s)]

    for limit_s, faults in ((20.0, 0), (None, 1)):  # noqa: B007 - read by units
        assert len(load_all([extension], [Slow()], limit_s=0.01).faults.get(folder.name, ())) == faults
