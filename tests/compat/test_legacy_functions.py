"""What functions of A1111's modules do that extensions call: buttons, folders of pictures, file names, memory, settings."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.compat.zoo_house import ZooHouse, zoo_house

TXT2IMG: dict[str, Any] = {
    "id_task": "task(1)", "request": None, "prompt": "a red circle", "negative_prompt": "", "prompt_styles": [],
    "n_iter": 1, "batch_size": 1, "cfg_scale": 7.0, "height": 64, "width": 64, "enable_hr": False,
    "denoising_strength": 0.7, "hr_scale": 2.0, "hr_upscaler": "Latent", "hr_second_pass_steps": 0, "hr_resize_x": 0,
    "hr_resize_y": 0, "hr_checkpoint_name": "Use same checkpoint", "hr_sampler_name": "Use same sampler",
    "hr_scheduler": "Use same scheduler", "hr_prompt": "", "hr_negative_prompt": "", "override_settings_texts": [],
}  # fmt: skip
IMG2IMG: dict[str, Any] = {
    "id_task": "task(2)", "request": SimpleNamespace(username="ada"), "mode": 0, "prompt": "a red circle",
    "negative_prompt": "", "prompt_styles": [], "init_img": None, "sketch": None, "init_img_with_mask": None,
    "inpaint_color_sketch": None, "inpaint_color_sketch_orig": None, "init_img_inpaint": None,
    "init_mask_inpaint": None, "mask_blur": 4, "mask_alpha": 0, "inpainting_fill": 1, "n_iter": 1, "batch_size": 1,
    "cfg_scale": 7.0, "image_cfg_scale": 1.5, "denoising_strength": 0.5, "selected_scale_tab": 0, "height": 64,
    "width": 64, "scale_by": 1.0, "resize_mode": 0, "inpaint_full_res": False, "inpaint_full_res_padding": 32,
    "inpainting_mask_invert": 0, "img2img_batch_input_dir": "", "img2img_batch_output_dir": "",
    "img2img_batch_inpaint_mask_dir": "", "override_settings_texts": [], "img2img_batch_use_png_info": False,
    "img2img_batch_png_info_props": [], "img2img_batch_png_info_dir": "", "img2img_batch_source_type": "from dir",
    "img2img_batch_upload": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    zoo = tmp_path_factory.mktemp("zoo")
    (zoo / "nothing" / "scripts").mkdir(parents=True)
    (zoo / "nothing" / "scripts" / "nothing.py").write_text("from modules import shared\n")
    with zoo_house(tmp_path_factory.mktemp("functions"), zoo=zoo) as found:
        yield found


@pytest.fixture(autouse=True)
def few_steps(house: ZooHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs that say nothing of steps have two."""
    for name in ("StableDiffusionProcessingTxt2Img", "StableDiffusionProcessingImg2Img"):
        cls = getattr(legacy("processing"), name)
        made = cls.__init__
        monkeypatch.setattr(cls, "__init__", lambda self, *args, made=made, **given: made(self, *args, **{"steps": 2, "seed": 5, **given}))  # fmt: skip


def legacy(name: str) -> Any:
    return importlib.import_module(f"modules.{name}")


def picture(size: tuple[int, int] = (64, 64), colour: str = "white") -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_button_takes_a1111s_arguments_in_their_order(house: ZooHouse):
    assert list(inspect.signature(legacy("txt2img").txt2img_create_processing).parameters)[: len(TXT2IMG)] == list(TXT2IMG)  # fmt: skip
    assert list(inspect.signature(legacy("img2img").img2img).parameters)[: len(IMG2IMG)] == list(IMG2IMG)


def test_txt2img_makes_what_the_api_makes(house: ZooHouse):
    images, js, text, remarks = legacy("txt2img").txt2img(*TXT2IMG.values())
    expected = house.txt2img(steps=2, sampler_name="Euler")["images"]
    decoded = legacy("api.api").decode_base64_to_image(expected[0])
    assert [one.tobytes() for one in images] == [decoded.tobytes()]
    assert "a red circle" in js
    assert "Steps: 2" in text
    assert isinstance(remarks, str)


def test_the_api_object_makes_what_its_routes_make(house: ZooHouse):
    models, api = legacy("api.models"), legacy("api.api").Api(house.app, legacy("call_queue").queue_lock)
    body = {"prompt": "a red circle", "steps": 2, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler"}
    made = api.text2imgapi(models.StableDiffusionTxt2ImgProcessingAPI(**body))
    assert made.images == house.txt2img(**body)["images"]
    assert "a red circle" in made.info
    given = {**body, "init_images": made.images, "denoising_strength": 0.5}
    changed = api.img2imgapi(models.StableDiffusionImg2ImgProcessingAPI(**given))
    assert changed.images == house.client.post("/sdapi/v1/img2img", json=given).json()["images"] != made.images


def test_the_hires_pass_is_that_of_the_arguments(house: ZooHouse):
    job = legacy("txt2img").txt2img_create_processing(*{**TXT2IMG, "hr_sampler_name": "Euler a"}.values(), force_enable_hr=True)  # fmt: skip
    assert (job.enable_hr, job.hr_sampler_name, job.hr_scheduler, job.hr_checkpoint_name) == (True, "Euler a", None, None)  # fmt: skip
    assert legacy("processing").process_images(job).images[0].size == (128, 128)


@pytest.mark.parametrize(
    ("mode", "given"),
    [
        (0, {"init_img": picture()}),
        (1, {"sketch": picture()}),
        (2, {"init_img_with_mask": {"image": picture(), "mask": picture()}}),
        (2, {"init_img_with_mask": {"background": picture(), "layers": [picture().convert("RGBA")], "composite": None}}),
        (3, {"inpaint_color_sketch": picture(colour="red"), "inpaint_color_sketch_orig": picture(), "mask_alpha": 50}),
        (4, {"init_img_inpaint": picture(), "init_mask_inpaint": picture().convert("L")}),
    ],
)  # fmt: skip
def test_img2img_takes_the_picture_of_its_mode(house: ZooHouse, mode: int, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    jobs: list[Any] = []
    run = legacy("processing").process_images
    monkeypatch.setattr(legacy("processing"), "process_images", lambda p: jobs.append(p) or run(p))
    images, *_ = legacy("img2img").img2img(*{**IMG2IMG, "mode": mode, **given}.values())
    assert [one.size for one in images] == [(64, 64)]
    (job,) = jobs
    assert job.user == "ada"
    assert (job.image_mask is not None) == (mode in (2, 3, 4))
    if mode == 3:
        assert job.init_images[0].getpixel((3, 3)) == pytest.approx((255, 127, 127), abs=1)
        assert job.image_mask.getextrema() == (255, 255)


def test_a_result_may_be_so_many_times_as_large_as_its_picture(house: ZooHouse):
    given = {**IMG2IMG, "init_img": picture((64, 48)), "selected_scale_tab": 1, "scale_by": 2.0}
    images, *_ = legacy("img2img").img2img(*given.values())
    assert images[0].size == (128, 96)


def test_a_folder_of_pictures_is_run_one_by_one(house: ZooHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        picture().save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    out = house.host.layout.data / "studio" / "outputs" / "batch"
    seen: list[str] = []
    run = legacy("processing").process_images
    monkeypatch.setattr(legacy("processing"), "process_images", lambda p: seen.append(p.prompt) or run(p))
    given = {**IMG2IMG, "mode": 5, "img2img_batch_input_dir": str(tmp_path / "in"), "img2img_batch_output_dir": str(out)}  # fmt: skip
    images, *_ = legacy("img2img").img2img(*given.values())
    assert len(images) == 2
    assert sorted(one.name for one in out.glob("*.png")) == ["one.png", "two.png"]
    assert seen == ["a red circle"] * 2


def test_what_pictures_say_of_themselves_may_be_taken_over(house: ZooHouse, tmp_path: Path):
    legacy("images").save_image(picture(), str(tmp_path), "", info="a blue square\nSteps: 3, Sampler: Euler a, CFG scale: 4.5, Seed: 9", forced_filename="told", save_to_dirs=False)  # fmt: skip
    picture().save(tmp_path / "untold.png")
    p = legacy("processing").StableDiffusionProcessingImg2Img(prompt="red", width=64, height=64, denoising_strength=0.5)
    made = legacy("img2img").process_batch(
        p, [str(tmp_path / "told.png"), str(tmp_path / "untold.png")], "", "", [0], use_png_info=True,
        png_info_props=["Prompt", "Seed", "CFG scale", "Sampler", "Steps"],
    )  # fmt: skip
    assert made.all_prompts == ["red a blue square", "red"]
    assert "Steps: 3, Sampler: Euler a" in made.infotexts[0]
    assert "CFG scale: 4.5, Seed: 9" in made.infotexts[0]
    assert "Steps: 2" in made.infotexts[1]
    assert made.all_seeds == [9, 5]


def test_file_names_follow_patterns(house: ZooHouse):
    p = legacy("processing").StableDiffusionProcessingTxt2Img(prompt="a, b", width=64, height=64)
    names = legacy("images").FilenameGenerator(p, 7, "a red circle", picture((32, 16)), basename="cat")
    assert names.apply("[seed]-[prompt_words]-[width]x[height]-[steps]-[basename][unknown]") == "7-a red circle-32x16-2-cat[unknown]"  # fmt: skip


def test_latents_are_decoded_one_by_one(house: ZooHouse):
    house.txt2img()
    processing, model = legacy("processing"), legacy("shared").sd_model
    x = torch.randn(2, model.latent_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    found = processing.decode_latent_batch(model, x, check_for_nans=True)
    assert found.already_decoded
    torch.testing.assert_close(torch.stack(list(found)), processing.decode_first_stage(model, x))
    with pytest.raises(legacy("devices").NansException):
        processing.decode_latent_batch(
            SimpleNamespace(decode_first_stage=lambda z: z * float("nan")), x, check_for_nans=True
        )


def test_memory_is_told(house: ZooHouse):
    monitor = legacy("memmon").MemUsageMonitor("MemMon", None, None)
    house.services.memory()
    free, total = monitor.cuda_mem_get_info()
    assert 0 < free <= total
    assert monitor.read()["total"] == total
    assert legacy("shared").mem_mon.disabled == (not torch.cuda.is_available())
    assert 0 < legacy("sd_hijack_optimizations").get_available_vram() <= total


def test_attention_in_chunks_is_attention(house: ZooHouse):
    q, k, v = (torch.randn(3, 50, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    attend = legacy("sd_hijack_optimizations").sub_quad_attention
    expected = F.scaled_dot_product_attention(q, k, v)
    for more in ({}, {"chunk_threshold": 0}, {"q_chunk_size": 7, "kv_chunk_size": 5}, {"kv_chunk_size_min": 11}):
        torch.testing.assert_close(attend(q, k, v, **more), expected)


def test_models_by_timestep_agree_with_each_other(house: ZooHouse):
    timesteps = legacy("sd_samplers_timesteps")
    alphas = torch.linspace(0.99, 0.01, 1000, dtype=torch.float64)
    clean, noise, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([10, 700])
    a = alphas[t].float().view(2, 1, 1, 1)
    noisy, velocity = a.sqrt() * clean + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * clean
    models = {
        timesteps.CompVisTimestepsDenoiser: SimpleNamespace(alphas_cumprod=alphas, apply_model=lambda x, t, **_: noise),
        timesteps.CompVisTimestepsVDenoiser: SimpleNamespace(alphas_cumprod=alphas, apply_model=lambda x, t, **_: velocity),
    }  # fmt: skip
    for kind, model in models.items():
        torch.testing.assert_close(kind(model)(noisy, t), noise, rtol=1e-3, atol=1e-3)
    assert legacy("sd_samplers_compvis").VanillaStableDiffusionSampler is timesteps.CompVisSampler
    assert {one.name for one in timesteps.samplers_data_timesteps} >= {"DDIM", "PLMS", "UniPC"}


def test_configurations_of_checkpoints(house: ZooHouse, tmp_path: Path):
    configs, a, b = legacy("sd_models_config"), tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    b.with_suffix(".yaml").write_text("model: {}\n")
    one, two = SimpleNamespace(filename=str(a)), SimpleNamespace(filename=str(b))
    assert configs.find_checkpoint_config(None, two) == str(b.with_suffix(".yaml"))
    assert configs.find_checkpoint_config(None, None) == configs.config_default
    for number, made in enumerate((True, True, False, False)):
        legacy("extras").create_config(tmp_path / f"{number}.ckpt", number, one, two, None)
        assert (tmp_path / f"{number}.yaml").is_file() == made


def test_notes_of_cards_lie_beside_their_files(house: ZooHouse, tmp_path: Path):
    (tmp_path / "x.safetensors").write_bytes(b"1")
    page = SimpleNamespace(
        name="cards", items={"x": {"filename": str(tmp_path / "x.safetensors"), "description": "old"}}
    )
    editor = legacy("ui_extra_networks_user_metadata").UserMetadataEditor(None, "txt2img", page)
    assert editor.get_user_metadata("x") == {"description": "old"}
    editor.save_user_metadata("x", "new", "more <b>")
    assert editor.get_user_metadata("x") == {"description": "new", "notes": "more <b>"}
    assert editor.put_values_into_components("x")[0] == "x"


def test_versions_of_parameters_texts_are_ordered(house: ZooHouse):
    versions = legacy("infotext_versions")
    assert versions.v160 < versions.v170_tsnr < versions.v180 < versions.v180_hr_styles
    assert legacy("deepbooru").re_special.sub(r"\\\1", "a_(b)") == r"a_\(b\)"
