"""Steps that extensions for A1111 add to Extras, among those of the program."""

import base64
import io
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.extras import ExtrasOutcome, ExtrasRequest, NamedPicture
from modules.domain.request import ImageRef
from modules.engine.job import Owner
from modules.imaging.read_info import read_picture_info
from modules.settings.store import SettingsStore
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house
from tests.engine.fakes import png

pytestmark = pytest.mark.slow
NEGATIVE = "Turn to negative"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    data = tmp_path_factory.mktemp("zoo")
    one = data / "one"
    one.mkdir()
    (one / "after-touch").symlink_to(ZOO / "after-touch")
    SettingsStore(data / "config.json").set({"postprocessing_enable_in_main_ui": [NEGATIVE, "Simple Upscale"]})
    with zoo_house(data, zoo=one) as found:
        yield found


def refined(zoo: ZooHouse, steps: Mapping[str, Any], **more: Any) -> ExtrasOutcome:
    """Run steps over a plain picture."""
    picture = NamedPicture(image=ImageRef.of(png(16, 8, "a cat\nSteps: 1")), name="cat.png")
    request = ExtrasRequest(pictures=(picture,), steps=zoo.services.steps.read(steps), **{"save": False, **more})
    handle = zoo.services.desk.accept(request, Owner(source="api"), kind="extras")
    assert list(handle.events())
    return handle.result_as(ExtrasOutcome)


def extension() -> Any:
    return sys.modules["after_touch.py"]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_step_changes_the_picture_adds_one_and_is_told(zoo: ZooHouse):
    made = refined(zoo, {NEGATIVE: {"enable": True, "keep": True, "share": 1.0}}).images
    assert [pixels(one.data)[0, 0].tolist() for one in made] == [[245, 235, 225], [10, 20, 30]]
    assert [one.infotext for one in made] == ["Negative share: 1.0", ""]


def test_steps_run_in_the_order_of_a1111_and_of_the_settings(zoo: ZooHouse):
    steps = {NEGATIVE: {"enable": True}, "White corner": {}}
    assert pixels(refined(zoo, steps).images[0].data)[0, 0].tolist() == [255, 255, 255]
    zoo.settings.set({"postprocessing_operation_order": ["White corner"]})
    try:
        assert pixels(refined(zoo, steps).images[0].data)[0, 0].tolist() == [0, 0, 0]
    finally:
        zoo.settings.set({"postprocessing_operation_order": []})


def test_a_step_sees_the_size_that_upscale_wants(zoo: ZooHouse):
    extension().seen.clear()
    upscale = {"upscaler_1_name": "Nearest", "upscale_by": 3}
    made = refined(zoo, {"Upscale": upscale, NEGATIVE: {"enable": True, "share": 0.5}}).images
    assert extension().seen == [(48, 24, "extras")]
    assert (made[0].width, made[0].height) == (48, 24)
    assert made[0].infotext == "Postprocess upscale by: 3.0, Postprocess upscaler: Nearest, Negative share: 0.5"


def test_a_step_that_fails_is_named_and_the_others_go_on(zoo: ZooHouse):
    picture = NamedPicture(image=ImageRef.of(png(16, 8, "")))
    steps = zoo.services.steps.read({"Fails": {}, NEGATIVE: {"enable": True}})
    handle = zoo.services.desk.accept(
        ExtrasRequest(pictures=(picture,), steps=steps, save=False), Owner(source="api"), kind="extras"
    )
    notes = [getattr(event, "text", "") for event in handle.events()]
    assert "Fails failed: RuntimeError: no luck today" in notes
    assert handle.result_as(ExtrasOutcome).images[0].infotext == "Negative share: 1.0"


def test_results_are_saved_with_suffix_and_caption(zoo: ZooHouse):
    (saved,) = refined(zoo, {NEGATIVE: {"enable": True}}, save=True).saved
    assert saved.name == "00000-negative.png"
    assert saved.with_suffix(".txt").read_text() == "a negative"


def test_the_program_s_own_steps_are_there_for_extensions(zoo: ZooHouse):
    runner = import_module("modules.scripts").scripts_postproc
    pp = import_module("modules.scripts_postprocessing").PostprocessedImage(Image.new("RGB", (16, 8), (10, 20, 30)))
    runner.run(pp, runner.create_args_for_run({
        "Upscale": {"upscale_enabled": True, "upscale_mode": 0, "upscale_by": 2.0, "upscaler_1_name": "Nearest"},
        NEGATIVE: {"enable": True, "share": 1.0, "keep": True},
    }))  # fmt: skip
    assert pp.image.size == (32, 16)
    assert pp.info == {
        "Postprocess upscale by": "2.0", "Postprocess upscaler": "Nearest", "Negative share": 1.0,
    }  # fmt: skip
    assert [one.nametags for one in pp.extra_images] == [["positive"]]


def test_extensions_enlarge_with_the_script_of_the_program(zoo: ZooHouse):
    module = import_module("scripts.postprocessing_upscale")
    pp = module.scripts_postprocessing.PostprocessedImage(Image.new("RGB", (16, 8), (10, 20, 30)))
    wanted = {"upscale_mode": 1, "upscale_by": 2.0, "upscale_to_width": 48, "upscale_to_height": 32, "upscale_crop": False}  # fmt: skip
    more = {"upscaler_1_name": "Nearest", "upscaler_2_name": None, "upscaler_2_visibility": 0.0}
    module.ScriptPostprocessingUpscale().process(pp, **wanted, **more)
    assert pp.image.size == (64, 32)


def test_another_picture_in_the_tab_is_told(zoo: ZooHouse):
    extension().changed.clear()
    zoo.services.steps.picture_changed()
    assert extension().changed == [True]


def test_a_step_may_run_on_every_picture_that_is_made(zoo: ZooHouse):
    plain = zoo.txt2img()
    scripts = {NEGATIVE: {"args": [True, 1.0, False]}, "Simple Upscale": {"args": [True, "Nearest", 2.0]}}
    made = zoo.txt2img(alwayson_scripts=scripts)
    before, after = (pixels(base64.b64decode(one["images"][0])) for one in (plain, made))
    assert np.array_equal(after[::2, ::2], 255 - before)
    assert "Negative share: 1.0, " in made["info"]
    assert "Postprocess upscale by: 2.0, Postprocess upscaler: Nearest, Version: " in made["info"]


def test_a_step_may_generate(zoo: ZooHouse):
    (made,) = refined(zoo, {"Paint another": {"enable": True}}).images
    alone = zoo.txt2img(steps=3, cfg_scale=7, prompt="a red circle")
    assert np.array_equal(pixels(made.data), pixels(base64.b64decode(alone["images"][0])))


def test_extensions_run_extras_themselves(zoo: ZooHouse, tmp_path: Path):
    postprocessing = import_module("modules.postprocessing")
    folder = zoo.host.layout.data / "given"
    folder.mkdir()
    (folder / "cat.png").write_bytes(png(16, 8, "a cat\nSteps: 1"))
    (folder / "broken.png").write_bytes(b"no picture")
    upscale = (0, 0, 0, 2, 512, 512, True, "Nearest", "None", 0, False)
    images, told, _ = postprocessing.run_extras(2, 0, None, None, str(folder), "enlarged", True, *upscale)
    assert [image.size for image in images] == [(32, 16)]
    assert told == "<p>Postprocess upscale by: 2.0, Postprocess upscaler: Nearest</p>"
    found = read_picture_info((zoo.host.layout.data / "enlarged" / "cat.png").read_bytes())
    assert found.infotext == "a cat\nSteps: 1"
    assert found.items["extras"] == "Postprocess upscale by: 2.0, Postprocess upscaler: Nearest"
    (alone,), _, _ = postprocessing.run_extras(0, 0, images[0], None, "", "", True, *upscale, save_output=False)
    assert alone.size == (64, 32)
    with pytest.raises(ValueError, match="no such folder"):
        postprocessing.run_extras(2, 0, None, None, str(tmp_path / "none"), "", True, *upscale)
