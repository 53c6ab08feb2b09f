"""The Python client that people use with A1111, pointed at this program in a process of its own."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webuiapi
from PIL import Image

from tests.e2e.process import Program, data_folder, program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are those of POSIX")

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 4}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(
        data_folder(tmp_path_factory.mktemp("client"), "toy.safetensors", "zebra.safetensors"), "--nowebui"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def api(running: Program) -> Iterator[Any]:
    """The client; its annotations say too little about what its calls return."""
    made = webuiapi.WebUIApi(host="127.0.0.1", port=running.port, sampler="Euler a", steps=4)
    yield made
    made.session.close()


def pixels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image.convert("RGB"), dtype=np.int16)


def test_txt2img(api: Any) -> None:
    first = api.txt2img(prompt="a red fox", negative_prompt="blue", seed=1003, cfg_scale=5, batch_size=2, **SMALL)
    assert [image.size for image in first.images] == [(64, 64)] * 2
    assert first.image is first.images[0]
    assert first.info["all_seeds"] == [1003, 1004]
    assert (first.info["sampler_name"], first.info["warnings"]) == ("Euler a", [])
    assert first.parameters["prompt"] == "a red fox"
    assert "Seed: 1004" in first.images[1].info["parameters"]
    again = api.txt2img(prompt="a red fox", negative_prompt="blue", seed=1004, cfg_scale=5, **SMALL)
    assert np.abs(pixels(again.image) - pixels(first.images[1])).max() <= 1


def test_hires_fix(api: Any) -> None:
    made = api.txt2img(
        prompt="a", seed=1, enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent,
        hr_second_pass_steps=3, denoising_strength=0.6, **SMALL,
    )  # fmt: skip
    assert made.image.size == (128, 128)
    assert "Hires upscaler: Latent" in made.image.info["parameters"]


def test_img2img_and_inpainting(api: Any) -> None:
    first = api.txt2img(prompt="a", seed=5, **SMALL).image
    changed = api.img2img(images=[first], prompt="b", seed=5, denoising_strength=0.8, cfg_scale=6.5, **SMALL)
    assert changed.image.size == (64, 64)
    assert np.abs(pixels(changed.image) - pixels(first)).max() > 8
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    inpainted = api.img2img(
        images=[first], mask_image=mask, mask_blur=0, inpainting_fill=1, inpaint_full_res=False, prompt="b", seed=5,
        denoising_strength=1.0, **SMALL,
    )  # fmt: skip
    difference = np.abs(pixels(inpainted.image) - pixels(first))
    assert difference[:, :32].max() == 0
    assert difference[:, 40:].max() > 8


def test_a_script_of_img2img(api: Any) -> None:
    first = api.txt2img(prompt="a", seed=5, **SMALL).image
    assert "outpainting mk2" in api.get_scripts()["img2img"]
    made = api.img2img(
        images=[first], prompt="b", seed=5, script_name="Outpainting mk2",
        script_args=["", 64, 8, ["left"], 1.0, 0.05], **SMALL,
    )  # fmt: skip
    assert made.images[0].size == (128, 64)


def test_extras(api: Any) -> None:
    image = Image.effect_noise((32, 24), 60).convert("RGB")
    single = api.extra_single_image(image=image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=2)
    assert single.image.size == (64, 48)
    assert single.info == "<p>Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos</p>"
    batch = api.extra_batch_images(
        images=[image, image.rotate(90, expand=True)], upscaler_1="Nearest", upscaling_resize=3
    )
    assert [one.size for one in batch.images] == [(96, 72), (72, 96)]


def test_png_info(api: Any) -> None:
    made = api.txt2img(prompt="a (red:1.2) fox", seed=7, **SMALL)
    told = api.png_info(made.image)
    assert told.info == made.image.info["parameters"]
    assert told.parameters["Prompt"] == "a (red:1.2) fox"


def test_options_and_switching_models(api: Any) -> None:
    assert sorted(api.util_get_model_names()) == sorted(one["title"] for one in api.get_sd_models())
    assert "toy" in api.util_get_current_model()
    api.util_set_model("zebra")
    assert "zebra" in api.util_get_current_model()
    assert api.txt2img(prompt="a", seed=1, **SMALL).info["sd_model_name"] == "zebra"
    api.util_set_model("toy")
    assert api.txt2img(prompt="a", seed=1, **SMALL).info["sd_model_name"] == "toy"
    api.set_options({"jpeg_quality": 71})
    assert api.get_options()["jpeg_quality"] == 71
    other = api.txt2img(prompt="a", seed=1, override_settings={"sd_model_checkpoint": "zebra"}, **SMALL)
    assert other.info["sd_model_name"] == "zebra"
    assert "toy" in api.util_get_current_model()


def test_lists(api: Any) -> None:
    assert {"Euler a", "DPM++ 2M"} <= set(api.util_get_sampler_names())
    assert {"automatic", "karras"} <= set(api.util_get_scheduler_names())
    assert [one["name"] for one in api.get_upscalers()][:3] == ["None", "Lanczos", "Nearest"]
    for call in (
        api.get_cmd_flags, api.get_sd_vae, api.get_latent_upscale_modes, api.get_loras, api.get_hypernetworks,
        api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles, api.get_embeddings, api.get_memory,
        api.refresh_checkpoints,
    ):  # fmt: skip
        assert "detail" not in (call() or {}), call.__name__


def test_progress_interrupt_and_readiness(api: Any) -> None:
    found: list[Any] = []
    body = {**SMALL, "steps": 150}
    work = threading.Thread(target=lambda: found.append(api.txt2img(prompt="a", seed=1, n_iter=40, **body)))
    work.start()
    deadline = time.monotonic() + 30
    while api.get_progress()["state"]["sampling_step"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    seen = api.get_progress()
    assert 0 < seen["progress"] < 1
    assert seen["state"]["job_count"] == 40
    api.interrupt()
    work.join(30)
    assert 1 <= len(found[0].images) < 40
    api.util_wait_for_ready(check_interval=0.05)
    assert api.get_progress()["state"]["job_count"] == 0


def test_what_fails_is_told(api: Any) -> None:
    with pytest.raises(RuntimeError, match=r"422.*steps"):
        api.txt2img(prompt="a", **{**SMALL, "steps": -1})
    with pytest.raises(RuntimeError, match=r"422.*could not find upscaler named LDSR"):
        api.extra_single_image(image=Image.new("RGB", (8, 8)), upscaler_1=webuiapi.Upscaler.LDSR)


def test_logins(tmp_path: Path) -> None:
    with program(
        data_folder(tmp_path, "toy.safetensors"), "--nowebui", "--api-auth", "ann:secret", login="ann:secret"
    ) as made:
        known: Any = webuiapi.WebUIApi(host="127.0.0.1", port=made.port, username="ann", password="secret")
        stranger: Any = webuiapi.WebUIApi(host="127.0.0.1", port=made.port)
        assert known.txt2img(prompt="a", seed=1, **SMALL).image.size == (64, 64)
        with pytest.raises(RuntimeError, match="401"):
            stranger.txt2img(prompt="a", **SMALL)
        for one in (known, stranger):
            one.session.close()
