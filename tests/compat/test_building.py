"""Controls are built by one thread at a time: gradio has one place where it keeps what is being built."""

import asyncio
from pathlib import Path
from threading import Thread

import pytest

from modules.compat.entrance import runner_of
from modules.imaging.folders import OutputFolders
from modules.prompting.style_book import StyleBook
from modules.web.ui.build import build
from modules.web.ui.context import UiContext
from modules.web.ui.presets import PresetBook
from modules.web.ui.saving import Keeper
from modules.web.ui.tokens import TokenCounter
from tests.compat.zoo_house import zoo_house
from tests.extending.extending_house import make_extension

pytestmark = pytest.mark.slow
SLIDERS = """import gradio as gr
from modules import scripts

class Sliders(scripts.Script):
    def title(self):
        return "Sliders"
    def show(self, is_img2img):
        return scripts.AlwaysVisible
    def ui(self, is_img2img):
        return [gr.Slider(label=f"Slider {number}", value=number) for number in range(3)]
"""


def test_requests_wait_until_the_page_is_built(tmp_path: Path):
    make_extension(tmp_path / "zoo", "sliders", {"scripts/sliders.py": SLIDERS})
    with zoo_house(tmp_path, zoo=tmp_path / "zoo") as zoo:
        context = UiContext(
            services=zoo.services, counter=TokenCounter(), temp=tmp_path / "temp", uploads=tmp_path / "uploads",
            style_book=StyleBook([tmp_path / "styles.csv"]), presets=PresetBook(tmp_path / "presets.json"),
            ui_config=tmp_path / "ui-config.json", keeper=Keeper(OutputFolders(data=tmp_path)),
        )  # fmt: skip
        counts: list[int] = []

        async def build_page() -> None:  # in a loop, since outside of one gradio makes some that nobody closes
            build(context)

        threads = [
            Thread(target=lambda: asyncio.run(build_page()), daemon=True),
            Thread(target=lambda: counts.append(len(runner_of("txt2img").inputs)), daemon=True),
        ]
        with zoo.services.scripts.building:
            for thread in threads:
                thread.start()
                thread.join(0.2)
            assert all(thread.is_alive() for thread in threads)
            assert zoo.host.scripts.txt2img.scripts == []
        for thread in threads:
            thread.join(60)
        assert counts == [4]
