"""Extensions as people write them for A1111, run over the API."""

import base64
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.compat.entrance import runner_of
from modules.domain.request import Generation, SamplingSpec, SeedSpec, Size
from modules.imaging.read_info import read_info
from tests.compat.zoo_house import ZooHouse, zoo_house
from tests.pipeline.workshop import Studio

pytestmark = pytest.mark.slow
BROKEN = "always-broken"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("zoo"), argv=("--flag-colour", "green")) as found:
        yield found


def picture(answer: dict[str, Any], place: int = 0) -> np.ndarray:
    return np.asarray(opened(answer, place).convert("RGB")).astype(int)


def opened(answer: dict[str, Any], place: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["images"][place])))


def info(answer: dict[str, Any]) -> dict[str, Any]:
    return json.loads(answer["info"])


def asking(title: str, *args: Any) -> dict[str, Any]:
    return {"alwayson_scripts": {title: {"args": list(args)}}}


def loaded_file(name: str) -> Any:
    return sys.modules[name]


def test_only_the_broken_ones_have_faults(zoo: ZooHouse):
    assert set(zoo.loaded.faults) == {BROKEN, "import-fails"}
    assert "no_such_module_of_the_program" in zoo.loaded.faults["import-fails"][0]
    assert len(zoo.host.scripts.scripts_data) >= 9


def test_extensions_that_do_nothing_leave_the_picture_as_it_is(zoo: ZooHouse):
    alone = Studio(shop=replace(zoo.studio.shop, surround=lambda: None), models=zoo.studio.models)
    request = Generation(
        prompt="a red circle", size=Size(width=64, height=64), seed=SeedSpec(seed=5),
        sampling=SamplingSpec(sampler="Euler", steps=3),
    )  # fmt: skip
    plain = np.asarray(Image.open(io.BytesIO(alone.make(request).images[0].data)).convert("RGB")).astype(int)
    assert (picture(zoo.txt2img()) == plain).all()


def test_what_fails_is_told_with_its_name(zoo: ZooHouse):
    told = info(zoo.txt2img())["warnings"]
    assert any("Always broken: process failed" in text for text in told)
    assert any("always-broken: cfg_denoiser failed" in text for text in told)


def test_arguments_reach_hooks_and_the_infotext(zoo: ZooHouse):
    plain, mood = zoo.txt2img(), zoo.txt2img(**asking("Tell MOOD", True, "wild"))
    text = info(mood)["infotexts"][0]
    assert text.startswith("a red circle, wild")
    assert "Mood: wild, Mood strength: 1.0" in text
    assert read_info(opened(mood)).infotext == text
    assert info(mood)["extra_generation_params"]["Mood"] == "wild"
    assert (picture(plain) != picture(mood)).any()


def test_settings_of_extensions_are_settings(zoo: ZooHouse):
    options = zoo.client.get("/sdapi/v1/options").json()
    assert (options["mood_shouts"], options["panel_rows"], options["flag_pattern"]) == (False, 2, ["a", "b"])
    answer = zoo.txt2img(**asking("tell mood", True, "calm"), override_settings={"mood_shouts": True})
    assert info(answer)["infotexts"][0].startswith("A RED CIRCLE, CALM")
    assert zoo.client.post("/sdapi/v1/options", json={"panel_rows": 5}).status_code == 200
    assert import_module("modules.shared").opts.panel_rows == 5
    assert json.loads(zoo.settings.path.read_text())["panel_rows"] == 5


def test_lists_of_scripts_name_them_and_their_arguments(zoo: ZooHouse):
    names = zoo.client.get("/sdapi/v1/scripts").json()
    assert "tell mood" in names["txt2img"]
    assert "seed walk" in names["txt2img"]
    assert "seed walk" not in names["img2img"]
    about = zoo.client.get("/sdapi/v1/script-info").json()
    mood = next(one for one in about if one["name"] == "tell mood" and not one["is_img2img"])
    assert [one["label"] for one in mood["args"]] == ["Enable", "Mood", "Strength"]
    assert mood["args"][2]["maximum"] == 2


@pytest.mark.parametrize(
    "body",
    [{"alwayson_scripts": {"no such": {"args": []}}}, asking("tell mood", 1, 2, 3, 4), {"script_name": "no such"}],
)
def test_requests_that_cannot_be(zoo: ZooHouse, body: dict[str, Any]):
    assert zoo.client.post("/sdapi/v1/txt2img", json={"steps": 1, "width": 64, "height": 64, **body}).status_code == 422


def test_runs_inside_of_runs(zoo: ZooHouse):
    plain = zoo.txt2img(n_iter=2)
    found = zoo.txt2img(**asking("middle detailer", True, 0.9, "blue"), n_iter=2)
    for place in (0, 1):
        changed = (picture(plain, place) != picture(found, place)).any(-1)
        assert changed[16:48, 16:48].any()
        assert not changed[:8].any()
    assert "Detailer strength: 0.9" in info(found)["infotexts"][1]
    assert "blue" not in info(found)["infotexts"][0]


def test_guidance_is_seen_and_changed(zoo: ZooHouse):
    plain, looked = zoo.txt2img(negative_prompt="grey"), None
    looked = zoo.txt2img(negative_prompt="grey", **asking("guidance probe", "look"))
    assert (picture(plain) == picture(looked)).all()
    assert info(looked)["extra_generation_params"]["Guidance probe"] == "2 rows of 3"
    swapped = zoo.txt2img(negative_prompt="grey", **asking("guidance probe", "swap"))
    other = zoo.txt2img(prompt="grey", negative_prompt="a red circle")
    assert (picture(swapped) == picture(other)).all()
    halved = zoo.txt2img(negative_prompt="grey", **asking("guidance probe", "scale"))
    assert (picture(halved) != picture(plain)).any()
    emptied = [zoo.txt2img(seed=seed, **asking("guidance probe", "replace")) for seed in (5, 6)]
    assert (picture(emptied[0]) == picture(emptied[1])).all()


def test_routes(zoo: ZooHouse):
    assert zoo.client.get("/corner/version").json()["version"] == 3
    made = zoo.txt2img()
    answer = zoo.client.post("/corner/mirror", json={"image": made["images"][0], "tag": "x"})
    assert answer.status_code == 200, answer.text
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.json()["image"]))).convert("RGB")).astype(int)
    assert (back == picture(made)[:, ::-1]).all()
    assert zoo.client.post("/corner/mirror", json={"image": made["images"][0], "tag": "bad"}).status_code == 422


def test_a_script_of_the_drop_down(zoo: ZooHouse):
    found = zoo.txt2img(script_name="seed walk", script_args=[3, "at night"], save_images=False, seed=5)
    told = info(found)
    assert told["all_seeds"] == [5, 15, 25]
    assert told["infotexts"][-1].startswith("a red circle at night")
    assert "CFG scale: 3.5" in told["infotexts"][-1]
    assert "Clip skip: 2" in told["infotexts"][-1]
    alone = zoo.txt2img(prompt="a red circle at night", seed=5)
    assert (picture(found, len(found["images"]) - 3) == picture(alone)).all()
    assert zoo.settings.snapshot().sd.CLIP_stop_at_last_layers == 1


def test_prompts_are_rewritten_before_they_are_read(zoo: ZooHouse):
    counter = loaded_file("scripts.wild_shared").COUNTER
    before = dict(counter)
    found = zoo.txt2img(prompt="a {red|blue} circle <wild:x:1>")
    assert counter["tags"] == ["wild"]
    assert {name: counter[name] - before[name] for name in ("activated", "deactivated")} == {
        "activated": 1,
        "deactivated": 1,
    }
    assert (picture(found) == picture(zoo.txt2img(prompt="a red circle "))).all()
    assert info(found)["extra_generation_params"]["Template"] == "a {red|blue} circle <wild:x:1>"
    late, plain = zoo.txt2img(prompt="late"), zoo.txt2img(prompt="batch0")
    assert (picture(late) == picture(plain)).all()


def test_flags(zoo: ZooHouse):
    answer = zoo.client.get("/flag").json()
    assert (answer["colour"], answer["high"], answer["lowvram"]) == ("green", False, False)
    assert Path(answer["models"]).name == "models"


def test_tensors_and_lists_of_a_batch(zoo: ZooHouse):
    plain = picture(zoo.txt2img())
    painted = picture(zoo.txt2img(**asking("batch paint", "in place")))
    assert (painted[..., 0] == 255).all()
    assert (painted[..., 1:] == plain[..., 1:]).all()
    more = zoo.txt2img(**asking("batch paint", "more"))
    assert len(more["images"]) == 2
    assert (picture(more, 1) == 0).all()
    empty = [picture(zoo.txt2img(seed=seed, **asking("batch paint", "latent"))) for seed in (1, 2)]
    assert (empty[0] == empty[1]).all()


def test_saved_pictures(zoo: ZooHouse):
    found = zoo.txt2img(**asking("keeper", True), save_images=True, override_settings={"samples_save": True})
    assert len(found["images"]) == 2
    assert opened(found, 1).size == (16, 16)
    kept = sorted((zoo.host.layout.data / "kept").iterdir())
    assert len(kept) == 1
    assert "a red circle" in (read_info(Image.open(io.BytesIO(kept[0].read_bytes()))).infotext or "")
    assert "Kept by: keeper" in info(found)["infotexts"][0]
    assert any(Path(one).name.endswith(".png") for one in loaded_file("keeper.py").SAVED)


def test_replaced_functions_and_hooked_layers(zoo: ZooHouse):
    seen = loaded_file("inner_patch.py").SEEN
    before = dict(seen)
    zoo.txt2img(**asking("inner patch", True))
    assert seen["inner"] == before["inner"] + 1
    assert seen["steps"] >= 3
    assert seen["calls"] > before["calls"]
    calls = seen["calls"]
    zoo.txt2img()
    assert seen["calls"] == calls


def test_a_job_that_is_interrupted_leaves_nothing_behind(zoo: ZooHouse):
    zoo.txt2img(script_name="seed walk", script_args=[2, ""])
    assert zoo.host.jobs == []
    assert zoo.host.idle.job_count == 0


def test_hires_pass_is_announced_with_its_prompts(zoo: ZooHouse):
    calls: list[tuple[str, bool]] = []
    script = zoo.host.scripts.txt2img.script("tell mood")
    script.before_hr = lambda p, *_: calls.append(("before_hr", p.is_hr_pass))
    script.process_before_every_sampling = lambda p, *_, **more: calls.append((str(tuple(more["x"].shape[-2:])), p.is_hr_pass))  # fmt: skip
    try:
        body = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.7, "hr_upscaler": "Latent"}
        found = zoo.txt2img(**body, **asking("tell mood", True, "wild"))
    finally:
        del script.before_hr, script.process_before_every_sampling
    assert [what for what, _ in calls][1] == "before_hr"
    assert [later for _, later in calls] == [False, True, True]
    assert opened(found).size == (128, 128)


def test_runs_on_pictures(zoo: ZooHouse):
    start = zoo.txt2img()["images"][0]
    mask = io.BytesIO()
    drawn = Image.new("L", (64, 64))
    drawn.paste(255, (16, 16, 48, 48))
    drawn.save(mask, "png")
    body = {
        "init_images": [start], "prompt": "blue", "steps": 3, "width": 64, "height": 64, "seed": 5,
        "sampler_name": "Euler", "denoising_strength": 0.5,
    }  # fmt: skip
    plain = zoo.client.post("/sdapi/v1/img2img", json=body).json()
    mood = zoo.client.post("/sdapi/v1/img2img", json={**body, **asking("tell mood", True, "wild")}).json()
    assert "Mood: wild" in info(mood)["infotexts"][0]
    assert "Denoising strength: 0.5" in info(mood)["infotexts"][0]
    assert (picture(plain) != picture(mood)).any()
    middle = base64.b64encode(mask.getvalue()).decode()
    painted = zoo.client.post("/sdapi/v1/img2img", json={**body, "mask": middle, "mask_blur": 0}).json()
    changed = (picture(painted) != picture({"images": [start]})).any(-1)
    assert changed[16:48, 16:48].any()
    assert not changed[:16].any()


def test_scripts_see_and_choose_where_pictures_go(zoo: ZooHouse):
    data, seen = zoo.host.layout.data, list[tuple[str, str]]()
    elsewhere = data / "studio" / "elsewhere"

    def choose(p: Any, *_: Any) -> None:
        seen.append((p.outpath_samples, p.outpath_grids))
        p.outpath_samples = str(elsewhere)

    script = runner_of("txt2img").script("tell mood")
    script.before_process = choose
    try:
        told = info(zoo.txt2img(save_images=True, override_settings={"samples_save": True, "save_to_dirs": False}))
    finally:
        del script.before_process
    assert seen == [(str(data / "outputs" / "txt2img-images"), str(data / "outputs" / "txt2img-grids"))]
    assert len(list(elsewhere.glob("*.png"))) == 1, told


def test_the_network_can_be_asked_once_more_about_a_step(zoo: ZooHouse):
    asked: list[Any] = []
    again: list[float] = []

    def look(params: Any) -> None:
        asked.append((params.x.clone(), params.sigma.clone(), params.text_cond.clone()))

    def ask(params: Any) -> None:
        x, sigma, cond = asked[-1]
        made = params.inner_model(x[:1], sigma[:1], cond={"c_crossattn": [cond[:1]], "c_concat": [None]})
        again.append(float((made - params.x[:1]).abs().max()))

    zoo.host.callbacks.add("cfg_denoiser", look)
    zoo.host.callbacks.add("cfg_denoised", ask)
    try:
        told = info(zoo.txt2img())
    finally:
        zoo.host.callbacks.remove(lambda one: one.call in (look, ask))
    assert len(again) == 3, told
    assert max(again) < 1e-4
