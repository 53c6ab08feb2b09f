"""Script files that somebody put into `scripts` of the program, as A1111's users do."""

import json
from pathlib import Path

import pytest

from tests.compat.zoo_house import zoo_house

pytestmark = pytest.mark.slow
SCRIPT = """
import gradio as gr
from modules import script_callbacks, scripts, shared
from modules.processing import process_images

BASE = scripts.basedir()


class Mine(scripts.Script):
    def title(self):
        return "Mine"

    def ui(self, is_img2img):
        return [gr.Textbox(label="Word", value="green")]

    def run(self, p, word):
        p.prompt = f"{p.prompt}, {word}, {shared.opts.mine_end}"
        return process_images(p)


def settings():
    shared.opts.add_option("mine_end", shared.OptionInfo("end", "End", section=("mine", "Mine")))


script_callbacks.on_ui_settings(settings)
"""


def test_they_run_without_any_extension(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "scripts"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "native").mkdir()
    (folder / "native" / "other.py").write_text("raise RuntimeError('no business of A1111')", encoding="utf-8")
    with zoo_house(tmp_path / "data", zoo=tmp_path / "none") as house:
        assert house.loaded.faults == {}
        assert house.loaded.extensions == ()
        assert house.host.extensions == ()
        (data,) = [one for one in house.host.scripts.scripts_data if one.path == str(folder / "mine.py")]
        assert data.module.BASE == data.basedir == str(tmp_path / "data")
        asked = {"script_name": "mine", "script_args": ["blue"], "override_settings": {"mine_end": "stop"}}
        answer = house.txt2img(**asked)
        assert json.loads(answer["info"])["infotexts"][0].startswith("a red circle, blue, stop\n")
        assert "mine" in house.client.get("/sdapi/v1/scripts").json()["txt2img"]


def test_without_files_nothing_of_a1111_exists(tmp_path: Path) -> None:
    from modules.compat.loading import owner_scripts
    from modules.files.layout import Layout

    (tmp_path / "scripts" / "native").mkdir(parents=True)
    (tmp_path / "scripts" / "native" / "other.py").touch()
    assert owner_scripts(Layout.of(tmp_path)) == ()
