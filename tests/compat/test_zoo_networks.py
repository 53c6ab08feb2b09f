"""Kinds of tags that extensions add, or put in the place of those of the program."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compat.test_zoo import info, picture
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.test_network_runs import make_lora

pytestmark = pytest.mark.slow
NARROW: dict[str, Any] = {"override_settings": {"sd_model_checkpoint": "narrow"}, "steps": 2}


@contextmanager
def house(folder: Path, name: str) -> Iterator[ZooHouse]:
    (folder / "zoo").mkdir()
    (folder / "zoo" / name).symlink_to(ZOO / name)
    with zoo_house(folder, zoo=folder / "zoo") as found:
        checkpoint = make_narrow_checkpoint(found.studio.models / "narrow.safetensors")
        make_lora(folder / "studio" / "Lora" / "one.safetensors", checkpoint, seed=1)
        make_lora(folder / "studio" / "Lora" / "forbidden.safetensors", checkpoint, seed=2)
        found.studio.shop.shelf().catalog.refresh()
        yield found


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with house(tmp_path_factory.mktemp("kinds"), "tag-kinds") as found:
        yield found


def seen() -> list[tuple[str, list[Any]]]:
    return sys.modules["tag_kinds.py"].SEEN


def test_a_tag_does_what_its_kind_says_and_is_no_part_of_the_prompt(zoo: ZooHouse):
    seen().clear()
    plain = zoo.txt2img(prompt="a red circle")
    assert seen() == [("activate", []), ("deactivate", [])]
    seen().clear()
    tinted = zoo.txt2img(prompt="a red circle<tint:any:0.4>")
    assert seen() == [("activate", [(["any", "0.4"], {})]), ("deactivate", [])]
    assert (picture(plain) != picture(tinted)).any()
    assert (picture(plain) == picture(zoo.txt2img(prompt="a red circle<tint:any:0>"))).all()
    named = zoo.txt2img(prompt="a red circle<tinge:any:by=0.4>")
    assert (picture(named) == picture(tinted)).all()
    assert info(tinted)["infotexts"][0].startswith("a red circle<tint:any:0.4>\n")


def test_every_batch_and_the_hires_pass_have_their_own_tags(zoo: ZooHouse):
    seen().clear()
    zoo.txt2img(prompt="x<tint:a:0.1>", n_iter=2)
    assert [what for what, _ in seen()] == ["activate", "activate", "deactivate"]
    seen().clear()
    body = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.7, "hr_upscaler": "Latent"}
    zoo.txt2img(prompt="x<tint:a:0.1>", hr_prompt="x<tint:b:0.2>", **body)
    assert [tags[0][0][0] for what, tags in seen() if what == "activate"] == ["a", "b"]


def test_one_that_fails_is_told(zoo: ZooHouse):
    told = info(zoo.txt2img(prompt="x<failing:a>"))["warnings"]
    assert any("kind failing" in text and "no such thing" in text for text in told)


def test_those_of_the_program_stay(zoo: ZooHouse):
    plain, worn = zoo.txt2img(**NARROW), zoo.txt2img(**NARROW, prompt="a red circle<lora:one:1>")
    assert (picture(plain) != picture(worn)).any()
    assert 'Lora hashes: "one: ' in info(worn)["infotexts"][0]


def test_one_in_the_place_of_the_programs_decides_what_is_worn(zoo: ZooHouse, tmp_path_factory: pytest.TempPathFactory):
    plain = picture(zoo.txt2img(**NARROW))
    half = picture(zoo.txt2img(**NARROW, prompt="a red circle<lora:one:0.5>"))
    with house(tmp_path_factory.mktemp("between"), "lora-in-between") as other:
        asked = other.txt2img(**NARROW, prompt="a red circle<lora:one:1>")
        assert (picture(asked) == half).all()
        kept_out = other.txt2img(**NARROW, prompt="a red circle<lora:forbidden:1>")
        assert (picture(kept_out) == plain).all()
