"""Whole runs of Stable Diffusion XL: what its networks are told of each pass, and the way to its refiner."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from modules.domain.plan import TextOptions
from modules.domain.request import Generation, HiresSpec, ModelChoice, RefinerSpec, SamplingSpec, SeedSpec, Size
from modules.domain.result import Outcome
from modules.families.family import Components
from modules.families.openclip import OpenClipConfig
from modules.families.sd1.keys import TextConfig
from modules.families.sdxl.family import StableDiffusionXL
from modules.families.sdxl.text import TextEncoders
from modules.imaging.infotext_parse import parse_infotext
from modules.sampling.types import Conditioning
from tests.families.narrow_files import CONFIG, tensors_of, unet_sizes
from tests.pipeline.workshop import Studio, open_studio

LARGE = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=20)
SMALL = TextConfig(width=16, layers=2, heads=4, mlp_width=32)
PLAIN = Generation(
    prompt="a red circle",
    size=Size(width=64, height=48),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler", steps=4),
    model=ModelChoice(checkpoint="xl"),
)

Told = list[tuple[str, tuple[str, ...], TextOptions, Conditioning]]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    opened = open_studio(tmp_path_factory.mktemp("data"))
    for name, small, width, numbers in (("xl", SMALL, 40, 6), ("beauty", None, 24, 5)):
        unet = unet_sizes(context_dim=width, vector_dim=20 + numbers * 256)
        tensors = tensors_of("conditioner.", TextEncoders(small, LARGE), unet)
        save_file({key: t.contiguous() for key, t in tensors.items()}, opened.models / f"{name}.safetensors")
        (opened.models / f"{name}.yaml").write_text(json.dumps(CONFIG))
    opened.shop.shelf().catalog.refresh()
    return opened


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Everything that was encoded: variant, texts, options, result."""
    found: Told = []
    encode = StableDiffusionXL.condition

    def condition(
        self: StableDiffusionXL, model: Components, texts: Sequence[str], options: TextOptions
    ) -> Conditioning:
        result = encode(self, model, texts, options)
        found.append((model.match.variant, tuple(texts), options, result))
        return result

    monkeypatch.setattr(StableDiffusionXL, "condition", condition)
    return found


def pixels(made: Outcome) -> bytes:
    return Image.open(io.BytesIO(made.images[0].data)).tobytes()


def changed(**changes: Any) -> Generation:
    return replace(PLAIN, **changes)


def test_each_pass_is_told_its_size(studio: Studio, told: Told) -> None:
    made = studio.make(changed(hires=HiresSpec(scale=1.5)), sdxl_crop_top=8, sdxl_crop_left=24)
    assert len(made.images) == 1
    assert [(texts, one.negative, one.size) for _, texts, one, _ in told] == [
        (("a red circle",), False, Size(width=64, height=48)),
        (("",), True, Size(width=64, height=48)),
        (("a red circle",), False, Size(width=96, height=72)),
        (("",), True, Size(width=96, height=72)),
    ]
    assert {one.crop for _, _, one, _ in told} == {(8, 24)}
    assert not told[1][3].tokens.any()


def test_the_refiner_reads_the_prompts_again_and_is_told_their_beauty(studio: Studio, told: Told) -> None:
    request = changed(refiner=RefinerSpec(checkpoint="beauty", switch_at=0.5), negative_prompt="dark")
    made = studio.make(request, sdxl_refiner_high_aesthetic_score=9.0)
    assert parse_infotext(made.images[0].infotext)["Refiner"].startswith("beauty")
    again = [(texts, result.extras["y"][0, -256]) for variant, texts, _, result in told if variant == "refiner"]
    assert [texts for texts, _ in again] == [("a red circle",), ("dark",)]
    scores = torch.tensor([9.0, 2.5]).cos()  # the first of the cosines turns fastest: once per unit
    torch.testing.assert_close(torch.stack([score for _, score in again]), scores)
    plain = studio.make(changed(negative_prompt="dark"))
    assert pixels(plain) != pixels(made)


def test_other_lineages_are_told_nothing_of_the_picture(studio: Studio, told: Told) -> None:
    studio.make(changed(model=ModelChoice(checkpoint="toy")))
    assert not told
