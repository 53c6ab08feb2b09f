"""The worked example of the manual is loaded and does what the manual says."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from modules.domain.request import Generation, SamplingSpec, SeedSpec, Size
from modules.extending.loader import NativeLoader
from modules.extending.manage import Places
from modules.extending.start import Extending, Wish, open_extensions
from modules.imaging.infotext_parse import parse_infotext
from modules.settings.store import SettingsStore
from tests.extending.extending_house import make_extension
from tests.pipeline.workshop import Studio, open_studio

MANUAL = Path(__file__).parents[2] / "docs" / "extensions.md"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    found = open_studio(tmp_path_factory.mktemp("data"))
    yield found
    found.shop.output.close()


@pytest.fixture
def extending(tmp_path: Path) -> Extending:
    (code,) = re.findall(r"```python\n# extensions/warm/webui_extension.py\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    make_extension(tmp_path / "extensions", "warm", {"webui_extension.py": code})
    places = Places(root=tmp_path, builtin=tmp_path / "b", extra=tmp_path / "extensions", states=tmp_path / "s")
    settings = SettingsStore(tmp_path / "config.json")
    return open_extensions(places, tmp_path / "cache", settings, [NativeLoader()], Wish())


def test_it_does_what_the_manual_says(studio: Studio, extending: Extending) -> None:
    assert extending.loaded.faults == {}
    scripts = extending.scripts
    asked = scripts.asked("txt2img", {"Warm up": {"args": [True, 30]}})
    assert asked == scripts.asked("txt2img", {"Warm up": {"args": {"enabled": True, "warmth": 30}}})

    def made(**more: object) -> tuple[Image.Image, str]:
        wanted = Generation(
            prompt="a cat", size=Size(width=64, height=64), sampling=SamplingSpec(sampler="Euler", steps=2),
            seed=SeedSpec(seed=1), **more,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        outcome = studio.make(wanted, hooks=extending.hooks.adding(scripts.handlers(wanted)))
        assert outcome.notes == ()
        return Image.open(io.BytesIO(outcome.images[0].data)), outcome.images[0].infotext

    plain, _ = made()
    warm, text = made(scripts=asked)
    for band, change in (("R", 30), ("G", 0), ("B", -30)):
        expected = bytes(min(max(value + change, 0), 255) for value in plain.getchannel(band).tobytes())
        assert warm.getchannel(band).tobytes() == expected
    assert scripts.pasted("txt2img", parse_infotext(text)) == {"warm": {"enabled": True, "warmth": 30}}


def test_it_brings_a_tab_and_settings(extending: Extending) -> None:
    assert [(tab.id, tab.label) for tab in extending.loaded.tabs] == [("warm", "Warm")]
    assert extending.manager.settings.snapshot().value("warm_counts") is True
