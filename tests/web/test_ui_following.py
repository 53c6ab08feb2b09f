"""What suits a checkpoint, what is saved for it, and what the page is told of both."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.domain.errors import InvalidRequest
from modules.families import identify
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.sampling.catalogue import SAMPLERS
from modules.sampling.schedules import SCHEDULES
from modules.web import adapters
from modules.web.services import CheckpointFacts
from modules.web.ui.following import OF_VARIANT
from modules.web.ui.models import describe
from modules.web.ui.presets import PresetBook
from modules.web.ui.suggestions import DISTILLED, suggest
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context

VALUES = {"sampler_name": "Euler", "scheduler": "Automatic", "steps": 7, "cfg_scale": 2.5, "width": 640, "height": 384}


def facts(name: str, family: str = "sdxl", size: int = 1024, **more: Any) -> CheckpointFacts:
    return CheckpointFacts(name=name, family=family, native_size=size, **more)


@pytest.mark.parametrize(
    ("name", "steps", "cfg_scale", "sampler"),
    [
        ("sdxl_lightning_4step.safetensors", 4, 1, "Euler"),
        ("sdxl_lightning_8steps.safetensors", 8, 1, "Euler"),
        ("Hyper-SDXL-1step-Unet.safetensors", 1, 1, "Euler"),
        ("juggernautXL_v9Rdphoto2Lightning.safetensors", 8, 1, "Euler"),
        ("dreamshaperXL_v21TurboDPMSDE.safetensors", 4, 1, "Euler a"),
        ("dreamshaper_8LCM.safetensors", 6, 1.5, "LCM"),
        ("realvis_lightning_dmd2.safetensors", 4, 1, "LCM"),
        ("sdxl_lightning_150steps.safetensors", 8, 1, "Euler"),
    ],
)
def test_distilled_checkpoints_are_known_by_their_words(name: str, steps: int, cfg_scale: float, sampler: str):
    found = suggest(facts(name))
    assert (found["steps"], found["cfg_scale"], found["sampler_name"]) == (steps, cfg_scale, sampler)


@pytest.mark.parametrize("name", ["turbine.safetensors", "hyperrealism_v3.safetensors", "alcmene.ckpt", "8steps.ckpt"])
def test_words_inside_words_say_nothing(name: str):
    assert "steps" not in suggest(facts(name))


def test_the_size_is_that_of_training():
    assert suggest(facts("a.ckpt", "sd1", 512)) == {"width": 512, "height": 512}
    assert suggest(facts("a.ckpt"))["width"] == 1024
    assert suggest(facts("sd_xl_turbo_1.0_fp16.safetensors"))["width"] == 512
    assert suggest(facts("a.ckpt", metadata={"modelspec.title": "Some LCM merge"}))["sampler_name"] == "LCM"


def test_suggested_names_exist():
    samplers, schedules = {one.label for one in SAMPLERS}, {one.label for one in SCHEDULES}
    assert {one.sampler_name for one in DISTILLED} <= samplers
    assert {one.scheduler for one in DISTILLED} <= schedules


def test_presets_are_kept_and_forgotten(tmp_path: Path):
    book = PresetBook(tmp_path / "presets.json")
    assert book.get("a.ckpt", "txt2img") is None
    book.save("a.ckpt", "txt2img", VALUES)
    book.save("a.ckpt", "img2img", {**VALUES, "steps": 9})
    again = PresetBook(tmp_path / "presets.json")
    assert again.get("a.ckpt", "txt2img") == VALUES
    again.forget("a.ckpt", "txt2img")
    assert again.get("a.ckpt", "txt2img") is None
    assert (again.get("a.ckpt", "img2img") or {})["steps"] == 9
    again.forget("a.ckpt", "img2img")
    assert json.loads((tmp_path / "presets.json").read_text()) == {}


def test_presets_hold_only_what_controls_can_take(tmp_path: Path):
    book = PresetBook(tmp_path / "presets.json")
    with pytest.raises(InvalidRequest, match="steps"):
        book.save("a.ckpt", "txt2img", {**VALUES, "steps": 10**9})
    with pytest.raises(InvalidRequest, match="no checkpoint"):
        book.save("", "txt2img", VALUES)
    (tmp_path / "presets.json").write_text(
        json.dumps({"a": {"txt2img": {"steps": "many", "width": 64, "x": 1}}, "b": 1})
    )
    assert book.get("a", "txt2img") == {"width": 64}
    assert book.get("b", "txt2img") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, "\xff"])
def test_a_broken_file_of_presets_is_put_aside(tmp_path: Path, content: str):
    path = tmp_path / "presets.json"
    path.write_bytes(content.encode("latin-1"))
    book = PresetBook(path)
    assert book.get("a", "txt2img") is None
    book.save("a", "txt2img", VALUES)
    assert book.get("a", "txt2img") == VALUES
    assert path.with_suffix(".json.bad").read_bytes() == content.encode("latin-1")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as built:
        yield built


def functions(house: RestHouse, folder: Path) -> dict[str, Callable[..., Any]]:
    from modules.web.ui.build import build

    page: Any = build(ui_context(house, folder))
    return {str(one.name): one.fn for one in page.fns.values()}


def test_the_page_is_told_what_suits_a_checkpoint(house: RestHouse, tmp_path: Path):
    tell = functions(house, tmp_path)["tell"]
    told, *shown, first, second = tell()
    about = json.loads(told)
    assert about["title"] == "toy.safetensors"
    assert about["suggested"] == {tab: {"width": 128, "height": 128} for tab in ("txt2img", "img2img")}
    assert about["defaults"]["txt2img"]["steps"] == 20
    assert not any(one["visible"] for one in shown)
    assert (first, second) == ("", "")


@pytest.mark.parametrize(
    ("name", "shown"), [("pix2pix", "image_cfg_scale"), ("depth", "depth_map"), ("unclip", "noise")]
)
def test_controls_of_a_kind_of_checkpoint_come_with_it(name: str, shown: str, house: RestHouse, tmp_path: Path):
    _, *updates, _first, _second = functions(house, tmp_path)["tell"](f"a {name} one")
    visible = dict(zip(OF_VARIANT.values(), (one["visible"] for one in updates), strict=True))
    assert {control for control, seen in visible.items() if seen} == {shown}


def test_what_is_saved_comes_back_unless_the_owner_says_otherwise(house: RestHouse, tmp_path: Path):
    events, book = functions(house, tmp_path), PresetBook(tmp_path / "model-presets.json")
    book.save("toy.safetensors", "img2img", VALUES)
    told, *_, txt2img, img2img = events["tell"]()
    assert json.loads(told)["presets"] == {"img2img": VALUES}
    assert (txt2img, "toy.safetensors" in img2img) == ("", True)
    house.services.settings.set({"model_presets": False, "model_defaults": False})
    told, *_ = events["tell"]()
    assert (json.loads(told)["presets"], json.loads(told)["suggested"]) == ({}, {"txt2img": {}, "img2img": {}})


def test_the_buttons_of_a_preset_save_and_forget(house: RestHouse, tmp_path: Path):
    events, book = functions(house, tmp_path), PresetBook(tmp_path / "model-presets.json")
    assert "toy.safetensors" in events["save"](*VALUES.values())
    assert book.get("toy.safetensors", "img2img") == VALUES or book.get("toy.safetensors", "txt2img") == VALUES
    assert events["forget"]() == ""
    assert json.loads((tmp_path / "model-presets.json").read_text()) == {}


def test_a_suggestion_that_is_not_offered_is_left_out(house: RestHouse, tmp_path: Path):
    told, *_ = functions(house, tmp_path)["tell"]("xl turbo")
    suggested = json.loads(told)["suggested"]["txt2img"]
    assert (suggested["steps"], suggested["sampler_name"]) == (4, "Euler a")
    assert "scheduler" not in suggested


def test_models_are_listed_with_what_is_known_of_them(house: RestHouse, tmp_path: Path):
    found = describe(ui_context(house, tmp_path))
    (toy,) = found["models"]
    assert (toy["name"], toy["kind"], toy["side"], toy["size_bytes"]) == ("toy.safetensors", "Toy", 128, 2048)
    assert (toy["hash"], toy["chosen"], toy["fault"]) == ("0123456789", True, "")
    assert toy["loaded"] == {"where": "device", "size_bytes": 4096, "in_use": False}
    assert found["strays"] == [{"name": "flux.gguf", "size_bytes": 3, "fault": "It is in the format GGUF."}]


def test_files_that_cannot_be_used_say_why(tmp_path: Path):
    from safetensors.numpy import save_file

    names = ("double_blocks.0.img_attn.qkv.weight", "guidance_in.in_layer.weight")
    save_file({name: np.zeros(1, np.float32) for name in names}, tmp_path / "flux1-dev.safetensors")
    (tmp_path / "torn.ckpt").write_bytes(b"<html>")
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "b.vae.pt").write_bytes(b"x")
    catalog: Catalog[Any] = Catalog(
        Sources(folders=[tmp_path]), HashCache(tmp_path / "hashes.sqlite3"), lambda header: identify(header, {})[1]
    )
    catalog.refresh()
    flux, torn = (adapters.checkpoint_facts(catalog, name) for name in ("flux1-dev.safetensors", "torn.ckpt"))
    assert (flux.family, "FLUX" in flux.fault, flux.size_bytes > 0) == ("", True, True)
    assert torn.fault.startswith("torn.ckpt: ")
    assert [(one.name, one.size_bytes) for one in adapters.stray_files([tmp_path])] == [("a.gguf", 4)]
