"""A run over a folder of pictures on the toy family."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.domain.errors import InvalidRequest, PathRefused
from modules.domain.events import ImageReady, Noted, Progressed
from modules.domain.request import (
    BatchSpec,
    FolderSpec,
    Generation,
    InitSpec,
    MaskSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.imaging.infotext_parse import parse_infotext
from tests.pipeline.workshop import Studio, open_studio


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return open_studio(tmp_path / "data")


@pytest.fixture
def data(studio: Studio) -> Path:
    folder = studio.models.parent
    for number, name in enumerate(("b.png", "a.webp", "broken.jpg", "c.PNG")):
        put(folder / "in" / name, noise(number))
    (folder / "in/broken.jpg").write_bytes(b"no picture")
    (folder / "in/notes.txt").write_text("nothing")
    return folder


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8))


def put(path: Path, image: Image.Image, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    if text:
        info.add_text("parameters", text)
    image.save(path, pnginfo=info) if path.suffix.lower() == ".png" else image.save(path)


def request(**folder: object) -> Generation:
    return Generation(
        prompt="a red circle",
        size=Size(width=64, height=48),
        seed=SeedSpec(seed=-1),
        sampling=SamplingSpec(sampler="Euler", steps=2),
        init=InitSpec(images=()),
        folder=FolderSpec(input="in", **{"output": "out", **folder}),  # pyright: ignore[reportArgumentType]
    )


def states(outcome: Outcome) -> dict[str, str]:
    return {report.name: report.state for report in outcome.files}


def test_every_picture_is_made_and_a_broken_one_is_told(studio: Studio, data: Path) -> None:
    made = studio.make(request())
    assert states(made) == {"a.webp": "made", "b.png": "made", "broken.jpg": "failed", "c.PNG": "made"}
    assert sorted(path.name for path in (data / "out").iterdir()) == ["a.png", "b.png", "c.png"]
    assert "Invalid encoded image" in made.files[2].reason
    assert any("broken.jpg" in event.text for event in studio.told(Noted))
    assert len({parse_infotext(image.infotext)["Seed"] for image in made.images}) == 1
    assert [image.data for image in made.images] == [(data / f"out/{name}.png").read_bytes() for name in "abc"]
    assert len(studio.told(ImageReady)) == 3
    assert [(event.batch, event.num_batches) for event in studio.told(Progressed)][-1] == (3, 4)


def test_a_second_run_goes_on_and_overwrites_nothing(studio: Studio, data: Path) -> None:
    put(data / "out/b.png", noise(9))
    before = (data / "out/b.png").read_bytes()
    first = studio.make(request())
    assert states(first)["b.png"] == "kept"
    assert (data / "out/b.png").read_bytes() == before
    (data / "out/c.png").unlink()
    again = studio.make(request())
    assert states(again) == {"a.webp": "kept", "b.png": "kept", "broken.jpg": "failed", "c.PNG": "made"}
    assert not list((data / "out").glob("*.tmp"))


def test_several_results_are_numbered_and_few_are_shown(studio: Studio, data: Path) -> None:
    put(data / "in/b.jpg", noise(5))
    asked = replace(request(), batch=BatchSpec(size=1, count=2))
    made = studio.make(asked, img2img_batch_show_results_limit=3)
    assert len(made.images) == 3
    names = {"a-1", "a-2", "c-1", "c-2", "b-png-1", "b-png-2", "b-jpg-1", "b-jpg-2"}
    assert {path.stem for path in (data / "out").iterdir()} == names
    assert not studio.make(request(output="other"), img2img_batch_show_results_limit=0).images


def test_a_factor_gives_each_result_a_size_of_its_own(studio: Studio, data: Path) -> None:
    put(data / "in/small.png", noise(1).resize((16, 32)))
    made = studio.make(request(scale=1.5))
    assert states(made)["small.png"] == "made"
    assert sorted((image.width, image.height) for image in made.images) == [(24, 48), *[(96, 72)] * 3]
    assert states(studio.make(request(scale=0.05, output="small")))["a.webp"] == "failed"


def test_masks_belong_to_their_pictures(studio: Studio, data: Path) -> None:
    mask = Image.new("L", (64, 48))
    mask.paste(255, (16, 16, 40, 40))
    put(data / "masks/a.png", mask)
    put(data / "masks/c.png", mask)
    asked = replace(request(masks="masks"), mask=MaskSpec(blur_x=0, blur_y=0))
    made = studio.make(asked)
    assert states(made) == {"a.webp": "made", "b.png": "no mask", "broken.jpg": "no mask", "c.PNG": "made"}
    painted = np.asarray(Image.open(io.BytesIO(made.images[1].data))).astype(int)
    assert np.abs(painted - np.asarray(noise(3)))[:, :16].max() <= 1
    (data / "masks/a.png").unlink()
    assert list(states(studio.make(replace(asked, folder=FolderSpec(input="in", masks="masks")))).values()) == [
        "made",
        "made",
        "failed",
        "made",
    ]


def test_what_pictures_tell_is_appended(studio: Studio, data: Path) -> None:
    text = "on the moon\nNegative prompt: green\nSteps: 3, Sampler: Euler a, CFG scale: 2.5, Seed: 42, Size: 8x8"
    put(data / "infos/b.png", noise(0), text)
    put(data / "in/c.PNG", noise(3), text.replace("42", "43").replace("Steps: 3", "Steps: 9999999"))
    every = ("Prompt", "Negative prompt", "Seed", "CFG scale", "Sampler", "Steps", "Model hash")
    made = studio.make(request(use_png_info=True, png_info="infos", png_info_props=every))
    assert states(made) == {"a.webp": "made", "b.png": "made", "broken.jpg": "failed", "c.PNG": "failed"}
    assert "steps" in made.files[3].reason
    told = parse_infotext(made.images[1].infotext)
    assert (told["Prompt"], told["Negative prompt"], told["Seed"]) == ("a red circle on the moon", "green", "42")
    assert (told["Sampler"], told["Steps"], told["CFG scale"]) == ("Euler a", "3", "2.5")
    only = studio.make(request(use_png_info=True, png_info_props=("Prompt",), output="other"))
    assert parse_infotext(only.images[2].infotext)["Prompt"] == "a red circle on the moon"
    assert parse_infotext(only.images[2].infotext)["Seed"] != "43"


@pytest.mark.parametrize(
    ("folder", "error", "text"),
    [
        ({"input": "../elsewhere"}, PathRefused, "outside"),
        ({"output": "/tmp/elsewhere"}, PathRefused, "outside"),
        ({"input": "none"}, InvalidRequest, "no such folder"),
        ({"input": ""}, InvalidRequest, "no such folder"),
        ({"output": "in"}, InvalidRequest, "another folder"),
        ({"masks": "none"}, InvalidRequest, "no such folder"),
        ({"input": "models"}, InvalidRequest, "no pictures"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(
    studio: Studio, data: Path, folder: dict[str, str], error: type[Exception], text: str
) -> None:
    asked = request()
    assert asked.folder is not None
    with pytest.raises(error, match=text):
        studio.make(replace(asked, folder=replace(asked.folder, **folder)))


def test_a_link_out_of_the_folder_is_not_followed(studio: Studio, data: Path, tmp_path: Path) -> None:
    put(tmp_path / "secret.png", noise(8))
    (data / "in/link.png").symlink_to(tmp_path / "secret.png")
    report = next(one for one in studio.make(request()).files if one.name == "link.png")
    assert (report.state, "leads out" in report.reason) == ("failed", True)
