"""The step over finished pictures that the manual shows is loaded and does what the manual says."""

import io
import re
from pathlib import Path

from PIL import Image

from modules.domain.extras import ExtrasRequest, NamedPicture
from modules.domain.request import ImageRef
from modules.extending.loader import NativeLoader
from modules.extending.manage import Places
from modules.extending.start import Wish, open_extensions
from modules.extending.steps import Steps, with_main_steps
from modules.hooks.context import JobContext
from modules.imaging.folders import OutputFolders
from modules.imaging.save_extras import ExtrasFiles
from modules.imaging.upscale import PLAIN
from modules.pipeline.extras.builtin import builtin_steps
from modules.pipeline.extras.run import Tools, run_extras
from modules.settings.store import SettingsStore
from tests.engine.fakes import png
from tests.extending.extending_house import make_extension

MANUAL = Path(__file__).parents[2] / "docs" / "extensions.md"


def test_it_fades_a_picture_and_keeps_it_beside_it(tmp_path: Path):
    (code,) = re.findall(r"```python\n# extensions/faded/webui_extension.py\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    for name in ("faded", "faded-again"):
        make_extension(tmp_path / "extensions", name, {"webui_extension.py": code})
    places = Places(root=tmp_path, builtin=tmp_path / "b", extra=tmp_path / "extensions", states=tmp_path / "s")
    settings = SettingsStore(tmp_path / "config.json")
    extending = open_extensions(places, tmp_path / "cache", settings, [NativeLoader()], Wish(install=False))
    assert extending.loaded.faults == {"faded-again": ("Its step faded is left out: faded has one of that id.",)}
    steps = Steps([*builtin_steps(lambda: PLAIN), *extending.loaded.steps])
    picture = NamedPicture(image=ImageRef.of(png(16, 8, "", (100, 100, 100))))
    asked = steps.read({"Fade": {"share": 0.2, "keep": True}, "Upscale": {"upscaler_1_name": "Nearest"}})
    ctx = JobContext(job_id="one", settings=settings.snapshot(), emit=lambda _event: None)
    files = ExtrasFiles(OutputFolders(data=tmp_path))
    made = run_extras(ExtrasRequest(pictures=(picture,), steps=asked), ctx, Tools(steps=steps.bound, files=files))
    colours = [Image.open(io.BytesIO(one.data)).convert("RGB").getpixel((0, 0)) for one in made.images]
    assert colours == [(131, 131, 131), (100, 100, 100)]
    told = "Postprocess upscale by: 4.0, Postprocess upscaler: Nearest, Faded: 0.2"
    assert made.images[0].infotext == told
    assert [path.name for path in made.saved] == ["00000.png", "00001-before.png"]
    settings.set({"postprocessing_enable_in_main_ui": ["Fade"]})
    scripts = with_main_steps(extending.scripts, steps, settings.snapshot())
    assert [script.label for script in scripts.always("txt2img")] == ["Fade"]
