"""What is taken instead of a pass, and what is saved beside results."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.domain.events import Progressed
from modules.domain.request import (
    BatchSpec,
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    MaskSpec,
    OutputSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.imaging.infotext_parse import parse_infotext
from tests.pipeline.workshop import Studio, open_studio, ref


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return open_studio(tmp_path / "data")


def noise(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (48, 64, len(mode)), np.uint8)
    return Image.fromarray(values)


def box(left: int, top: int, right: int, bottom: int) -> ImageRef:
    mask = Image.new("L", (64, 48))
    mask.paste(255, (left, top, right, bottom))
    return ref(mask)


PLAIN = Generation(
    prompt="a red circle",
    size=Size(width=64, height=48),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler a", steps=3),
    output=OutputSpec(save_images=True),
)
PAINTED = replace(
    PLAIN,
    init=InitSpec(images=(ref(noise()),)),
    mask=MaskSpec(image=box(16, 16, 40, 40), blur_x=0, blur_y=0),
)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def files(outcome: Outcome) -> dict[str, Path]:
    """Return the saved files of a job by what ends their names."""
    saved = outcome.images[0].saved_as
    assert saved is not None
    return {path.stem.removeprefix(path.stem[:5]): path for path in saved.parent.iterdir()}


@pytest.mark.parametrize("upscaler", ["Lanczos", "Latent"])
def test_the_second_pass_goes_on_from_a_given_picture(studio: Studio, upscaler: str) -> None:
    whole = replace(PLAIN, hires=HiresSpec(scale=1.5, upscaler=upscaler), batch=BatchSpec(size=2))
    made = studio.make(whole, save_images_before_highres_fix=True)
    assert len(made.images) == 2
    first = files(made)["-7-before-highres-fix"].read_bytes()
    assert pixels(first).shape == (48, 64, 3)
    assert b"Size: 64x48" in first
    given = HiresSpec(scale=1.5, upscaler=upscaler, first_image=ImageRef.of(first))
    again = studio.make(replace(PLAIN, hires=given))
    assert [(event.batch, event.num_batches) for event in studio.told(Progressed)] == [(0, 1)] * 3
    assert (again.images[0].width, again.images[0].height) == (96, 72)
    if upscaler == "Lanczos":
        assert np.array_equal(pixels(again.images[0].data), pixels(made.images[0].data))


@pytest.mark.parametrize("only_masked", [False, True])
def test_the_latent_may_have_a_mask_of_its_own(studio: Studio, only_masked: bool) -> None:
    mask = MaskSpec(image=box(0, 0, 64, 48), latent=box(32, 0, 64, 48), blur_x=0, blur_y=0, only_masked=only_masked)
    request = replace(PAINTED, mask=mask)
    made, plain = studio.make(request), studio.make(replace(PAINTED, mask=replace(mask, latent=None)))
    start = studio.make(replace(PAINTED, mask=replace(mask, latent=box(0, 0, 0, 0))))
    assert np.abs(pixels(made.images[0].data) - pixels(start.images[0].data))[:, :16].mean() < 2
    assert np.abs(pixels(plain.images[0].data) - pixels(start.images[0].data))[:, :16].mean() > 5


def test_masks_are_saved_beside_results(studio: Studio) -> None:
    made = studio.make(PAINTED, save_mask=True, save_mask_composite=True)
    assert len(made.images) == 1
    saved = files(made)
    assert set(saved) == {"-7", "-7-mask", "-7-mask-composite"}
    assert np.asarray(Image.open(saved["-7-mask"]))[20, 20].tolist() == [255] * 3
    cut = Image.open(saved["-7-mask-composite"])
    assert (cut.mode, cut.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 0))
    both = studio.make(PAINTED, save_mask=True, return_mask=True)
    assert [one.extra for one in both.images] == [False, True]
    assert both.images[1].saved_as is not None
    assert both.images[1].saved_as.stem.endswith("-mask")
    none = studio.make(replace(PAINTED, output=OutputSpec()), save_mask=True)
    assert [one.saved_as for one in none.images] == [None]


def test_the_picture_before_its_colours_were_corrected_is_saved(studio: Studio) -> None:
    request = replace(PLAIN, init=InitSpec(images=(ref(Image.new("RGB", (64, 48), (200, 30, 30))),)))
    made = studio.make(request, img2img_color_correction=True, save_images_before_color_correction=True)
    plain = studio.make(request)
    before = files(made)["-7-before-color-correction"]
    assert np.array_equal(pixels(before.read_bytes()), pixels(plain.images[0].data))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_init_images_are_kept_once(studio: Studio, mode: str) -> None:
    image = noise(mode)
    request = replace(PLAIN, init=InitSpec(images=(ref(image),)), output=OutputSpec())
    digest = hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()
    for _ in range(2):
        made = studio.make(request, save_init_img=True)
        assert parse_infotext(made.images[0].infotext)["Init image hash"] == digest
    folder = studio.models.parent / "outputs/init-images"
    assert [path.name for path in folder.iterdir()] == [f"{digest}.png"]
    assert np.array_equal(np.asarray(Image.open(folder / f"{digest}.png")), np.asarray(image))
    assert "Init image hash" not in studio.make(request).images[0].infotext
