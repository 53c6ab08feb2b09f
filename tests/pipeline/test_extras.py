"""Extras jobs: pictures and folders through steps, and what becomes of them."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.events import Event, ImageReady, Noted, Progressed
from modules.domain.extras import ExtrasOutcome, ExtrasRequest, NamedPicture, check_extras
from modules.domain.limits import Limits
from modules.domain.param import param
from modules.domain.request import ImageRef
from modules.engine.serialise import from_json, pictures_in, to_json, with_pictures
from modules.extending.steps import Steps
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.imaging.folders import OutputFolders
from modules.imaging.infotext import with_entries
from modules.imaging.read_info import read_picture_info
from modules.imaging.save_extras import ExtrasFiles, joined
from modules.imaging.upscale import PLAIN
from modules.pipeline.extras.builtin import builtin_steps, factor_in
from modules.pipeline.extras.run import Tools, run_extras
from modules.pipeline.extras.step import Picture
from modules.settings.snapshot import Snapshot
from tests.engine.fakes import png

TEXT = "a cat\nSteps: 1, Sampler: Euler, Seed: 1"


@dataclass(frozen=True)
class TintParams:
    enabled: bool = param(False, label="Tint")
    red: int = param(200, label="Red", infotext="Tint red", ge=0, le=255)
    twice: bool = param(False, label="Keep the original")


class Tint:
    """A step as an extension would write it."""

    id, label, order, Params = "tint", "Tint", 1500, TintParams

    def process(self, picture: Picture, params: TintParams, _ctx: JobContext) -> Any:
        if params.red == 13:
            raise ValueError("thirteen")
        made = replace(picture, image=Image.new("RGB", picture.image.size, (params.red, 0, 0)), caption="red")
        return [made, replace(picture, tags=("kept",))] if params.twice else made


@dataclass
class Desk:
    """Runs jobs in a folder."""

    folder: Path
    settings: Snapshot = field(default_factory=Snapshot)
    events: list[Event] = field(default_factory=list)
    cancel_at: int = 0
    reason: CancelReason = CancelReason.INTERRUPT
    enlarged: int = 0

    def run(self, steps: Mapping[str, Any], *pictures: str, **more: Any) -> ExtrasOutcome:
        def count(image: Image.Image, factor: float) -> Image.Image:
            self.enlarged += 1
            return PLAIN["Nearest"](image, factor)

        known = Steps([*builtin_steps(lambda: {**PLAIN, "Counted": count}), Tint()])
        given = tuple(NamedPicture(image=ImageRef.of(png(32, 16, TEXT)), name=name) for name in pictures)
        request = ExtrasRequest(pictures=given, steps=known.read(steps), **more)
        check_extras(request, Limits())
        ctx = JobContext(job_id="one", settings=self.settings, emit=self._told)
        self._ctx = ctx
        files = ExtrasFiles(OutputFolders(data=self.folder))
        return run_extras(request, ctx, Tools(steps=known.bound, files=files))

    def _told(self, event: Event) -> None:
        self.events.append(event)
        steps = sum(isinstance(one, Progressed) for one in self.events)
        if isinstance(event, Progressed) and steps == self.cancel_at:
            self._ctx.cancel.set(self.reason)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Noted)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path)


def with_settings(desk: Desk, **values: Any) -> None:
    desk.settings = desk.settings.with_overrides(values, by="local")


def folder_of(desk: Desk, *names: str) -> str:
    folder = desk.folder / "many"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(png(32, 16, TEXT))
    return "many"


def test_one_picture_is_numbered_described_and_told(desk: Desk):
    made = desk.run({"Upscale": {"upscaler_1_name": "Lanczos", "upscale_by": 2}, "Tint": {"red": 7}}, "cat.png")
    (path,) = made.saved
    assert path == desk.folder / "outputs" / "extras-images" / "00000.png"
    told = "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos, Tint red: 7"
    found = read_picture_info(path.read_bytes())
    assert (found.infotext, dict(found.items)) == (TEXT, {"extras": told, "postprocessing": told})
    assert Image.open(io.BytesIO(path.read_bytes())).size == (64, 32)
    assert path.with_suffix(".txt").read_text() == "red"
    assert [event.image for event in desk.events if isinstance(event, ImageReady)] == list(made.images)
    assert made.told == told
    steps = [(event.batch, event.step, event.num_steps) for event in desk.events if isinstance(event, Progressed)]
    assert steps == [(0, 1, 2), (0, 2, 2)]


def test_a_step_sees_what_earlier_ones_added_and_names_differ(desk: Desk):
    made = desk.run({"Create flipped copies": {"vertical": True}, "Tint": {"red": 7, "twice": True}}, "cat.png")
    names = [path.name for path in made.saved]
    assert names == [
        "00000.png", "00001-kept.png", "00002-flipped-horizontally.png", "00003-flipped-vertically.png",
        "00004-kept-flipped-horizontally.png", "00005-kept-flipped-vertically.png",
    ]  # fmt: skip


def test_the_settings_order_steps(desk: Desk):
    assert [one.label for one in _order(desk)] == [
        "Upscale", "Tint", "Split oversized images", "Auto focal point crop", "Auto-sized crop", "Create flipped copies",
    ]  # fmt: skip
    with_settings(desk, postprocessing_operation_order=["Auto-sized crop", "Tint"], postprocessing_disable_in_extras=["Upscale"])  # fmt: skip
    assert [one.label for one in _order(desk)] == [
        "Auto-sized crop", "Tint", "Split oversized images", "Auto focal point crop", "Create flipped copies",
    ]  # fmt: skip


def _order(desk: Desk) -> list[Any]:
    return Steps([*builtin_steps(lambda: PLAIN), Tint()]).of_extras(desk.settings)


def test_a_folder_keeps_names_and_is_never_its_own_output(desk: Desk):
    folder = folder_of(desk, "one.png", "two.png")
    (desk.folder / "many" / "notes.txt").write_text("no picture")
    (desk.folder / "many" / "broken.png").write_bytes(b"no picture either")
    made = desk.run({"Tint": {"red": 7}}, folder=folder, output="red", show=False)
    assert sorted(path.name for path in (desk.folder / "red").iterdir()) == ["one.png", "one.txt", "two.png", "two.txt"]
    assert [(one.name, one.state) for one in made.files] == [
        ("broken.png", "failed"), ("one.png", "made"), ("two.png", "made"),
    ]  # fmt: skip
    assert (made.images, len(made.saved), made.told) == ((), 2, "Tint red: 7")
    assert desk.notes[0].startswith("broken.png: image: Invalid encoded image")
    with pytest.raises(InvalidRequest, match="choose another folder"):
        desk.run({"Tint": {}}, folder=folder, output="many")
    with pytest.raises(InvalidRequest, match="no such folder"):
        desk.run({"Tint": {}}, folder="nowhere")


def test_names_can_be_numbers_and_need_not_be_replaced(desk: Desk):
    folder = folder_of(desk, "one.png", "two.png")
    with_settings(desk, save_images_replace_action="Add number suffix")
    desk.run({"Tint": {}}, folder=folder)
    made = desk.run({"Tint": {}}, folder=folder)
    assert [path.name for path in made.saved] == ["one-1.png", "two-1.png"]
    with_settings(desk, use_original_name_batch=False, use_upscaler_name_as_suffix=True)
    made = desk.run({"Upscale": {"upscaler_1_name": "Nearest"}}, folder=folder)
    assert [path.name for path in made.saved] == ["00000-Nearest.png", "00001-Nearest.png"]


def test_a_step_that_fails_is_told_once(desk: Desk):
    made = desk.run({"Tint": {"red": 13}, "Create flipped copies": {}}, "a", "b")
    assert desk.notes == ["Tint failed: ValueError: thirteen"]
    assert len(made.images) == 4


@pytest.mark.parametrize(
    ("reason", "states"),
    [
        (CancelReason.INTERRUPT, ["skipped"]), (CancelReason.SKIP, ["skipped", "made", "made"]),
        (CancelReason.STOP, ["made"]),
    ],
)  # fmt: skip
def test_jobs_end_early(desk: Desk, reason: CancelReason, states: list[str]):
    desk.cancel_at, desk.reason = 1, reason
    made = desk.run({"Tint": {}, "Create flipped copies": {}}, "a", "b", "c")
    assert [one.state for one in made.files] == states
    assert made.interrupted == (reason is not CancelReason.SKIP)
    assert len(made.saved) == 2 * states.count("made")


def test_the_longest_side_can_be_limited(desk: Desk):
    steps = {"Upscale": {"upscaler_1_name": "Nearest", "upscale_by": 4, "max_side_length": 96}}
    (image,) = desk.run(steps, "cat").images
    assert (image.width, image.height) == (96, 48)
    assert image.infotext == "Postprocess upscale by: 4.0, Max side length: 96, Postprocess upscaler: Nearest"


def test_long_pictures_are_cut_to_the_size_that_upscale_asks_for(desk: Desk):
    steps = {"Upscale": {"upscale_mode": 1, "upscale_to_width": 16, "upscale_to_height": 16}}
    made = desk.run({**steps, "Split oversized images": {}}, "cat").images
    assert [(one.width, one.height) for one in made] == [(16, 16)] * 3
    desk.run({"Split oversized images": {}}, "cat")
    assert "takes the size that is wanted from Upscale" in desk.notes[-1]


def test_pictures_are_cut_around_their_focal_point(desk: Desk):
    steps = {"Upscale": {"upscale_mode": 1, "upscale_to_width": 16, "upscale_to_height": 16}}
    made = desk.run({**steps, "Auto focal point crop": {"debug": True}, "Create flipped copies": {}}, "cat")
    assert [path.stem for path in made.saved] == [
        "00000", "00001-focal-crop-debug", "00002-flipped-horizontally",
    ]  # fmt: skip
    assert [(one.width, one.height) for one in made.images] == [(16, 16), (32, 16), (16, 16)]


def test_upscalers_are_asked_once_for_a_picture(desk: Desk):
    steps = {"Upscale": {"upscaler_1_name": "Counted", "upscale_by": 2}}
    desk.run(steps, "a", "b")
    assert desk.enlarged == 1
    with_settings(desk, upscaling_max_images_in_cache=0)
    desk.run(steps, "a", "b")
    assert desk.enlarged == 3


@pytest.mark.parametrize(
    ("steps", "fault", "words"),
    [
        ({"Nope": {}}, UnknownName, "Step 'Nope' not found"), ({"Tint": {"blue": 1}}, InvalidRequest, "no parameter"),
        ({"Tint": {"red": 300}}, InvalidRequest, "limit of 255"), ({"Tint": 5}, InvalidRequest, "by name"),
        ({"Upscale": {"upscaler_1_name": "Nope"}}, UnknownName, "Upscaler .Nope. not found"),
        ({"Upscale": {"upscaler_1_name": "Nearest", "upscale_by": 0.1}}, InvalidRequest, "would become"),
    ],
)  # fmt: skip
def test_bad_steps_are_refused(desk: Desk, steps: dict[str, Any], fault: type[Exception], words: str):
    with pytest.raises(fault, match=words):
        desk.run(steps, "cat")


def test_a_request_survives_a_restart():
    picture = NamedPicture(image=ImageRef.of(png(4, 4, "")), name="cat")
    steps = Steps(builtin_steps(lambda: PLAIN)).read({"Upscale": {"upscale_by": 3}})
    request = ExtrasRequest(pictures=(picture,), steps=steps, output="there", save=False)
    kept = pictures_in(request)
    assert with_pictures(from_json(ExtrasRequest, json.loads(json.dumps(to_json(request)))), kept.get) == request


def test_requests_without_pictures_are_refused(desk: Desk):
    with pytest.raises(InvalidRequest, match="no picture yet"):
        desk.run({"Tint": {}})
    with pytest.raises(InvalidRequest, match="not both"):
        desk.run({"Tint": {}}, "cat", folder="many")


@pytest.mark.parametrize(
    ("action", "wanted"),
    [("Ignore", "new"), ("Keep", "old"), ("Prepend", "old new"), ("Append", "new old")],
)
def test_captions_that_are_there_already(action: str, wanted: str):
    assert joined(" old\n", "new", action) == wanted
    assert joined("", "new", action) == "new"


def test_a_caption_beside_a_result_is_treated_as_the_settings_say(desk: Desk):
    with_settings(desk, postprocessing_existing_caption_action="Append")
    folder = folder_of(desk, "one.png")
    for _ in range(2):
        desk.run({"Tint": {}}, folder=folder)
    assert (desk.folder / "outputs" / "extras-images" / "one.txt").read_text() == "red red"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\nSteps: 1, Seed: 2, Version: v1", "a\nSteps: 1, Seed: 2, Key: 3, Version: v1"),
        ("a\nSteps: 1, Seed: 2", "a\nSteps: 1, Seed: 2, Key: 3"), ("", "Key: 3"), ("a, b", "a, b\nKey: 3"),
        ("a\nSteps: 1, Key: 9", "a\nSteps: 1, Key: 9"),
    ],
)  # fmt: skip
def test_entries_are_added_before_the_version(text: str, wanted: str):
    assert with_entries(text, {"Key": 3, "None": None}) == wanted


@pytest.mark.parametrize(
    ("name", "factor"),
    [("4x-Ultra", 4), ("ESRGAN_4x", 4), ("DAT x3", 3), ("R-ESRGAN 2x+", 2), ("Lanczos", None), ("2048x", None)],
)
def test_factors_are_read_from_names(name: str, factor: int | None):
    assert factor_in(name) == factor


def test_results_are_pictures(desk: Desk):
    with_settings(desk, samples_format="webp")
    (image,) = desk.run({"Tint": {"red": 7}}, "cat").images
    assert Image.open(io.BytesIO(image.data)).format == "WEBP"
    assert read_picture_info(image.data).infotext == TEXT
