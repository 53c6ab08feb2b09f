"""Things that extensions written for A1111 take for granted while they load, beyond names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from tests.compat.zoo_house import ZooHouse, zoo_house
from tests.extending.extending_house import make_extension

pytestmark = pytest.mark.slow


@contextmanager
def house_of(folder: Path, **files: str) -> Iterator[ZooHouse]:
    """Start with one extension of these files: folder__name -> text."""
    make_extension(folder / "zoo", "kite", {f"{name.replace('__', '/')}.py": text for name, text in files.items()})
    (folder / "data").mkdir()
    with zoo_house(folder / "data", zoo=folder / "zoo") as house:
        yield house


def test_the_file_of_page_defaults_can_be_read_at_once(tmp_path: Path):
    lines = "import json\nfrom modules import shared\nwith open(shared.cmd_opts.ui_config_file) as file:\n    found = json.load(file)\n"
    with house_of(tmp_path, scripts__reads=lines) as house:
        assert house.loaded.faults == {}


def test_a_script_may_be_defined_beside_its_file(tmp_path: Path):
    lines = (
        "from modules import scripts\nclass Kite(scripts.Script):\n    def title(self):\n        return 'Kite'\n"
        "    def show(self, is_img2img):\n        return scripts.AlwaysVisible\n"
    )
    files = {
        "scripts__one": "from kite_parts.beside import Kite as Flown\nfrom modules.scripts import Script\n",
        "kite_parts__beside": lines,
        "scripts__two": "from scripts.three import Wind\nfrom kite_parts.beside import Kite\n",
        "scripts__three": lines.replace("Kite", "Wind"),
    }
    with house_of(tmp_path, **files) as house:
        assert house.loaded.faults == {}
        own = [one for one in house.host.scripts.scripts_data if Path(one.basedir).name == "kite"]
        assert [one.script_class.__name__ for one in own] == ["Kite", "Wind"]


def test_states_tell_a_client_what_they_begin_with_if_it_could_send_it(tmp_path: Path):
    lines = (
        "import gradio as gr\nfrom modules import scripts\nclass Kite(scripts.Script):\n    def title(self):\n        return 'Kite'\n"
        "    def show(self, is_img2img):\n        return scripts.AlwaysVisible\n"
        "    def ui(self, is_img2img):\n        return [gr.State('Matrix'), gr.State(object()), gr.State([]), gr.Slider(0, 9, 3)]\n"
    )
    with house_of(tmp_path, scripts__one=lines) as house:
        about = house.client.get("/sdapi/v1/script-info").json()
        (kite,) = (one for one in about if one["name"] == "kite" and not one["is_img2img"])
        assert [one["value"] for one in kite["args"]] == ["Matrix", None, None, 3]


ALWAYS = (
    "from modules import scripts, shared\nfrom unittest import mock\nseen = []\nclass Kite(scripts.Script):\n"
    "    def title(self):\n        return 'Kite'\n    def show(self, is_img2img):\n        return scripts.AlwaysVisible\n"
)


def test_settings_may_be_replaced_for_a_moment(tmp_path: Path):
    lines = ALWAYS + (
        "    def postprocess_image(self, p, pp):\n"
        "        shared.opts.jpeg_quality = 71\n"
        "        with mock.patch.dict(shared.opts.data, {'multiple_tqdm': False, 'kite': 1, 'jpeg_quality': 72}):\n"
        "            seen.append((shared.opts.multiple_tqdm, shared.opts.kite, shared.opts.jpeg_quality))\n"
        "        seen.append((shared.opts.multiple_tqdm, hasattr(shared.opts, 'kite'), shared.opts.jpeg_quality))\n"
    )
    with house_of(tmp_path, scripts__one=lines) as house:
        house.settings.set({"samples_filename_pattern": "[seed]"})
        before = house.settings.path.read_text()
        house.txt2img()
        assert sys.modules["one.py"].seen == [(False, 1, 72), (True, False, 71)]
        assert house.settings.path.read_text() == before
        with mock.patch.dict(house.host.options.data, {"jpeg_quality": 60}):
            assert house.settings.snapshot().saving.jpeg_quality == 60
        assert house.settings.snapshot().saving.jpeg_quality == 80
        assert house.settings.snapshot().saving.samples_filename_pattern == "[seed]"
