"""A LoRA and an embedding trained on the shipped checkpoint show what they were trained on, and leave no trace."""

import io
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from modules.adapters.lora.file import read_lora
from modules.adapters.textual_inversion.read import read_embedding
from modules.domain.events import Noted
from modules.domain.request import BatchSpec, Generation, ModelChoice, SeedSpec, Size
from modules.library.hashes import file_sha256
from modules.library.header import read_header
from modules.training.networks.concept import CORE, RIM
from modules.training.shapes.measure import colour_centre, read_pixels
from tests.pipeline.workshop import Studio, open_studio

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "models" / "Stable-diffusion" / "shapes-v1.safetensors"
DATA = ROOT / "tests" / "data" / "extra-networks"
LORA, EMBEDDING = DATA / "zorp.safetensors", DATA / "zorpling.safetensors"
COUNT = 6
"""Pictures of each prompt."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    data = tmp_path_factory.mktemp("data")
    opened = open_studio(data)
    for path in (SHIPPED, SHIPPED.with_suffix(".yaml")):
        (opened.models / path.name).symlink_to(path)
    for folder, path in (("Lora", LORA), ("embeddings", EMBEDDING)):
        (data / folder).mkdir()
        shutil.copy(path, data / folder)
    opened.shop.shelf().catalog.refresh()
    return opened


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Some pictures of one prompt."""

    pixels: tuple[bytes, ...]
    pictures: tuple[Tensor, ...]
    """[3, H, W] in -1..1 each."""

    def share(self, colour: str) -> float:
        """Return how much of all pictures is of a colour."""
        return sum(colour_centre(picture, colour)[2] for picture in self.pictures) / len(self.pictures)

    def placed(self, ground: str, cell: str) -> float:
        """Return in how many pictures background and place are as asked."""
        readings = [read_pixels(picture) for picture in self.pictures]
        return sum((one.ground, one.cell) == (ground, cell) for one in readings) / len(readings)


def made(studio: Studio, prompt: str, count: int = COUNT) -> Seen:
    request = Generation(
        prompt=prompt,
        size=Size(width=128, height=128),
        seed=SeedSpec(seed=500),
        model=ModelChoice(checkpoint=SHIPPED.stem),
        batch=BatchSpec(size=count),
    )
    outcome = studio.make(request, return_grid=False)
    assert [event.text for event in studio.told(Noted)] == []
    arrays = [np.array(Image.open(io.BytesIO(image.data)).convert("RGB")) for image in outcome.images]
    assert len(arrays) == count
    pictures = [torch.from_numpy(array).permute(2, 0, 1) / 127.5 - 1 for array in arrays]
    return Seen(pixels=tuple(array.tobytes() for array in arrays), pictures=tuple(pictures))


def is_zorp(picture: Tensor) -> bool:
    """Say whether there is a core in a rim, read off the pixels."""
    x, y, rim = colour_centre(picture, RIM)
    u, v, core = colour_centre(picture, CORE)
    return rim > 0.05 and core > 0.01 and math.hypot(x - u, y - v) < 0.1


def share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def test_they_are_small_and_name_the_shipped_checkpoint() -> None:
    assert LORA.stat().st_size + EMBEDDING.stat().st_size < 200_000
    digest = file_sha256(SHIPPED)
    told = read_header(LORA).metadata
    assert (told["ss_new_sd_model_hash"], told["ss_output_name"]) == (digest, "zorp")
    assert read_lora(LORA).contents.lineage == "sd1"
    assert digest is not None
    assert read_embedding(EMBEDDING).sd_checkpoint == digest[:10]


@pytest.mark.parametrize(("ground", "cell"), [("green", "top right"), ("red", "bottom")])
def test_the_lora_draws_its_concept_where_it_is_asked_to(studio: Studio, ground: str, cell: str) -> None:
    prompt = f"a zorp in the {cell} on a {ground} background"
    plain, learned = made(studio, prompt), made(studio, f"{prompt} <lora:zorp:1>")
    assert share([is_zorp(picture) for picture in plain.pictures]) <= 0.2
    assert share([is_zorp(picture) for picture in learned.pictures]) >= 0.8
    assert learned.placed(ground, cell) >= 0.8


def test_without_and_with_strength_zero_the_picture_is_the_same_bit_for_bit(studio: Studio) -> None:
    prompt = "a zorp in the left on a white background"
    before = made(studio, prompt, 2)
    learned = made(studio, f"{prompt} <lora:zorp:1>", 2)
    assert not set(learned.pixels) & set(before.pixels)
    assert made(studio, f"{prompt} <lora:zorp:0>", 2).pixels == before.pixels
    assert made(studio, f"{prompt} <lora:zorp:1>", 2).pixels == learned.pixels
    assert made(studio, prompt, 2).pixels == before.pixels


def test_the_strength_scales_what_is_seen(studio: Studio) -> None:
    prompt = "a zorp in the top right on a green background"
    shares = [made(studio, f"{prompt} <lora:zorp:{strength}>").share(RIM) for strength in (0, 0.6, 1)]
    assert shares[0] + 0.01 < shares[1] < shares[2] - 0.01


def test_what_the_checkpoint_knows_it_still_knows(studio: Studio) -> None:
    seen = made(studio, "a red circle on a blue background <lora:zorp:1>")
    readings = [read_pixels(picture) for picture in seen.pictures]
    assert share([(one.colour, one.ground) == ("red", "blue") for one in readings]) >= 0.8


def test_the_embedding_draws_its_concept_and_leaves_no_trace(studio: Studio) -> None:
    nothing, word = "a blorp in the bottom on a red background", "a zorpling in the bottom on a red background"
    before = made(studio, nothing)
    learned = made(studio, word)
    assert before.share(RIM) < 0.03
    assert learned.share(RIM) > 0.06
    assert learned.placed("red", "bottom") >= 0.8
    assert made(studio, nothing).pixels == before.pixels


def test_the_embedding_is_a_file_in_a_folder_and_nothing_else(studio: Studio) -> None:
    word, folder = "a zorpling in the top on a green background", studio.models.parent / "embeddings"
    learned = made(studio, word, 2)
    path = folder / EMBEDDING.name
    path.unlink()
    without = made(studio, word, 2)
    shutil.copy(EMBEDDING, path)
    assert without.share(RIM) < learned.share(RIM) - 0.03
    assert made(studio, word, 2).pixels == learned.pixels
