"""Things that extensions written for A1111 take for granted while they load, beyond names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.compat.zoo_house import ZooHouse, zoo_house
from tests.extending.extending_house import make_extension

pytestmark = pytest.mark.slow


@contextmanager
def house_of(folder: Path, **files: str) -> Iterator[ZooHouse]:
    """Start with one extension whose script files are these."""
    make_extension(folder / "zoo", "kite", {f"scripts/{name}.py": text for name, text in files.items()})
    (folder / "data").mkdir()
    with zoo_house(folder / "data", zoo=folder / "zoo") as house:
        yield house


def test_the_file_of_page_defaults_can_be_read_at_once(tmp_path: Path):
    lines = "import json\nfrom modules import shared\nwith open(shared.cmd_opts.ui_config_file) as file:\n    found = json.load(file)\n"
    with house_of(tmp_path, reads=lines) as house:
        assert house.loaded.faults == {}
