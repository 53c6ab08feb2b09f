"""What ends up on disk for finished pictures."""

import errno
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.domain.request import BatchSpec, Generation
from modules.domain.result import Produced
from modules.files import atomic
from modules.imaging.folders import OutputFolders
from modules.imaging.open import open_image
from modules.imaging.read_info import read_picture_info
from modules.imaging.save import Output
from modules.settings.snapshot import Snapshot
from tests.imaging.plans import make_plan

FLAT = {"save_to_dirs": False, "grid_save_to_dirs": False, "samples_filename_pattern": "[none]"}


@pytest.fixture
def output(tmp_path: Path):
    made = Output(OutputFolders(data=tmp_path))
    yield made
    made.close()


def picture(width: int = 8, height: int = 6) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


def send(
    output: Output, settings: Snapshot, image: Image.Image | None = None, *, save: bool = True, **plan
) -> Produced:
    made = make_plan(**plan)
    return output.submit(image or picture(), "a\nSteps: 8", made, made.images[0], settings, save=save).result()


def file_of(made: Produced) -> Path:
    assert made.saved_as is not None, made.save_error
    return made.saved_as


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_file_is_the_answer(output, tmp_path):
    made = send(output, Snapshot())
    day = make_plan().created.strftime("%Y-%m-%d")
    assert made.saved_as == tmp_path / f"outputs/txt2img-images/{day}/00000-12345.png"
    assert file_of(made).read_bytes() == made.data
    assert (made.format, made.width, made.height, made.infotext) == ("png", 8, 6, "a\nSteps: 8")
    assert np.asarray(open_image(made.data)).tolist() == np.asarray(picture()).tolist()
    assert read_picture_info(made.data).infotext == "a\nSteps: 8"


def test_nothing_is_written_unless_asked_for(output, tmp_path):
    made = send(output, Snapshot(), save=False)
    assert (made.saved_as, made.save_error, files(tmp_path)) == (None, None, [])
    assert made.data


def test_without_sub_folders_names_carry_the_prompt(output, tmp_path):
    send(output, Snapshot().with_overrides({"save_to_dirs": False}))
    assert files(tmp_path) == ["outputs/txt2img-images/00000-12345-a (red_1.3) apple.png"]


def test_numbers_go_on_in_the_order_of_submission(output, tmp_path):
    settings, plan = Snapshot().with_overrides(FLAT), make_plan()
    pending = [output.submit(picture(), "", plan, plan.images[0], settings, save=True) for _ in range(5)]
    assert [file_of(future.result()).name for future in pending] == [f"{number:05}.png" for number in range(5)]


def test_two_writers_share_a_folder(tmp_path):
    outputs = [Output(OutputFolders(data=tmp_path)) for _ in range(2)]
    settings = Snapshot().with_overrides(FLAT)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda index: send(outputs[index % 2], settings), range(40)))
    for one in outputs:
        one.close()
    assert len({one.saved_as for one in made}) == len(files(tmp_path)) == 40


@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_the_format_is_a_setting(output, tmp_path, format):
    made = send(output, Snapshot().with_overrides({**FLAT, "samples_format": format}))
    assert (made.format, file_of(made).suffix) == (format, f".{format}")
    assert read_picture_info(file_of(made).read_bytes()).infotext == "a\nSteps: 8"


def test_the_infotext_can_stay_out_of_the_picture_and_go_into_a_file(output, tmp_path):
    made = send(output, Snapshot().with_overrides({**FLAT, "enable_pnginfo": False, "save_txt": True}))
    assert read_picture_info(made.data).infotext is None
    assert file_of(made).with_suffix(".txt").read_text() == "a\nSteps: 8\n"


@pytest.mark.parametrize(
    ("action", "names"),
    [("Replace", ["12345.png"]), ("Add number suffix", ["12345-1.png", "12345-2.png", "12345.png"])],
)
def test_names_without_a_number(output, tmp_path, action, names):
    settings = Snapshot().with_overrides({"save_images_add_number": False, "save_images_replace_action": action})
    for _ in range(3):
        send(output, settings)
    assert [Path(name).name for name in files(tmp_path)] == names


def test_an_empty_name_gets_a_number_anyway(output, tmp_path):
    made = send(output, Snapshot().with_overrides({**FLAT, "save_images_add_number": False}))
    assert file_of(made).name == "00000.png"


def test_a_pattern_cannot_leave_the_folder(output, tmp_path):
    settings = Snapshot().with_overrides(
        {"samples_filename_pattern": "../../x", "directories_filename_pattern": "../../../y"}
    )
    send(output, settings)
    send(output, settings.with_overrides({"save_images_add_number": False}))
    assert files(tmp_path) == ["outputs/txt2img-images/y/.._.._x.png", "outputs/txt2img-images/y/00000-.._.._x.png"]


def test_a_long_prompt_makes_a_name_the_disk_accepts(output, tmp_path):
    settings = Snapshot().with_overrides({"save_to_dirs": False, "samples_filename_pattern": "[prompt_spaces]" * 4})
    plan = make_plan()
    image = replace(plan.images[0], prompt="猫" * 300)
    made = output.submit(picture(), "", plan, image, settings, save=True).result()
    assert made.save_error is None
    assert file_of(made).name.startswith("00000-猫猫")


def test_grids_have_their_own_folder_and_numbers(output, tmp_path):
    plan, settings = make_plan(count=2, request=Generation(batch=BatchSpec(size=2))), Snapshot().with_overrides(FLAT)
    for extended in (False, True):
        chosen = settings.with_overrides(
            {"grid_extended_filename": extended, "samples_filename_pattern": "[seed]", "grid_format": "webp"}
        )
        made = output.submit_grid(picture(), "grid text", plan, chosen, save=True).result()
        assert made.plan is None
    assert files(tmp_path) == ["outputs/txt2img-grids/grid-0000.webp", "outputs/txt2img-grids/grid-0001-12345.webp"]


def test_one_folder_for_all(output, tmp_path):
    settings = Snapshot().with_overrides({**FLAT, "outdir_samples": "all", "outdir_grids": str(tmp_path / "grids")})
    send(output, settings)
    output.submit_grid(picture(), "", make_plan(), settings, save=True).result()
    assert files(tmp_path) == ["all/00000.png", "grids/grid-0000.png"]


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ({"target_side_length": 20}, (20, 10)),
        ({"img_downscale_threshold": 0.001}, (40, 20)),
        ({"export_for_4chan": False, "target_side_length": 20}, None),
        ({}, None),
    ],
)
def test_large_pictures_get_a_smaller_copy(output, tmp_path, overrides, size):
    made = send(output, Snapshot().with_overrides({**FLAT, **overrides}), picture(40, 20))
    copy = file_of(made).with_suffix(".jpg")
    assert copy.exists() is (size is not None)
    if size:
        assert open_image(copy.read_bytes()).size == size
        assert read_picture_info(copy.read_bytes()).infotext == "a\nSteps: 8"


def test_a_folder_that_is_not_allowed_costs_only_the_file(output, tmp_path):
    made = send(output, Snapshot().with_overrides({"outdir_samples": "../elsewhere"}))
    assert made.saved_as is None
    assert "--gradio-allowed-path" in (made.save_error or "")
    assert made.data


@pytest.mark.parametrize("number", [True, False])
def test_a_full_disk_costs_only_the_file(output, tmp_path, monkeypatch, number):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    settings = Snapshot().with_overrides({**FLAT, "samples_filename_pattern": "x", "save_images_add_number": number})
    send(output, settings)
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        patch.setattr(atomic.os, "fsync", full)
        made = send(output, settings)
    assert "disk is full" in (made.save_error or "")
    assert made.data
    assert files(tmp_path) == before
    assert send(output, settings).save_error is None
