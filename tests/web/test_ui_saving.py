"""What the buttons below a gallery do: save, pack, show a folder; and pictures given to a run of many."""

import csv
import io
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded, PathRefused, StorageFault
from modules.domain.request import BatchSpec, Generation, SeedSpec, Size
from modules.engine.job import JobHandle, Owner
from modules.web.ui import opening
from modules.web.ui.context import UiContext
from modules.web.ui.opening import open_folder
from modules.web.ui.results import Shown, show
from modules.web.ui.saving import COLUMNS, add_line
from modules.web.ui.sending import KEPT_S, MAX_UPLOADS, uploaded_folder
from modules.web.ui.tabs.gallery import kept, numbers_of
from modules.web.ui.tabs.scripts import SCRIPTS, script_of
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context

OWNER = Owner(source="ui")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as built:
        yield built


@pytest.fixture
def context(house: RestHouse, tmp_path: Path) -> UiContext:
    return ui_context(house, tmp_path)


def job(house: RestHouse, count: int = 2) -> JobHandle:
    """Make some pictures."""
    request = Generation(
        prompt="a fox, red", negative_prompt="night", size=Size(width=64, height=32), seed=SeedSpec(seed=5),
        batch=BatchSpec(count=count),
    )  # fmt: skip
    handle = house.services.desk.accept(request, OWNER, kind="txt2img")
    handle.wait(20)
    return handle


def gallery(house: RestHouse, handle: JobHandle) -> Shown:
    return show(handle, house.services.settings.snapshot(), "http://here/")


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_the_selected_picture_is_saved_as_it_is_with_a_line_in_the_list(
    house: RestHouse, context: UiContext, tmp_path: Path
):
    handle = job(house)
    shown = gallery(house, handle)
    at = len(shown.numbers) - 1
    said = kept(context, OWNER, shown, str(at), packed=False)
    folder = tmp_path / "log" / "images"
    (saved,) = [file for file in folder.iterdir() if file.suffix == ".png"]
    assert saved.name in said
    assert saved.name == "00000-6-a fox, red.png"
    assert saved.read_bytes() == handle.images()[shown.numbers[at]].data
    header, line = rows(folder / "log.csv")
    assert tuple(header) == COLUMNS
    assert line == [
        "a fox, red", "6", "64", "32", "DPM++ 2M", "7.0", "20", saved.name, "night", "toy", "0123456789",
    ]  # fmt: skip
    kept(context, OWNER, shown, "0", packed=False)
    assert len(rows(folder / "log.csv")) == 3


def test_settings_say_what_is_saved_and_where(house: RestHouse, context: UiContext, tmp_path: Path):
    house.services.settings.set({
        "save_selected_only": False, "save_write_log_csv": False, "use_save_to_dirs_for_ui": True,
        "outdir_save": "kept", "directories_filename_pattern": "[seed_first]",
    })  # fmt: skip
    handle = job(house, count=3)
    kept(context, OWNER, gallery(house, handle), "1", packed=False)
    found = sorted(path.relative_to(tmp_path / "kept").as_posix() for path in (tmp_path / "kept").rglob("*.*"))
    assert len(found) == len(handle.images())
    assert {name.split("/")[0] for name in found} == {"5"}


def test_an_archive_holds_the_files_and_can_be_downloaded(house: RestHouse, context: UiContext, tmp_path: Path):
    house.services.settings.set({"save_selected_only": False, "grid_zip_filename_pattern": "all of [seed]"})
    handle = job(house)
    shown = gallery(house, handle)
    said = kept(context, OWNER, shown, "0", packed=True)
    archive = tmp_path / "log" / "images" / "all of 5.zip"
    with zipfile.ZipFile(archive) as packed:
        assert [packed.read(name) for name in packed.namelist()] == [handle.images()[at].data for at in shown.numbers]
    address = said.split('href="')[1].split('"')[0]
    assert address.endswith("/all%20of%205.zip")
    from modules.web.ui.routes import ui_router

    house.app.include_router(ui_router())
    house.app.state.ui_context = context
    answer = house.client.get(f"/{address}")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert len(packed.namelist()) == len(shown.numbers)
    wrong = [
        address.replace(handle.id, "nobody"),
        *(f"internal/ui/archives/{handle.id}/{n}/x" for n in ("9", "a", "-1")),
    ]
    assert [house.client.get(f"/{one}").status_code for one in wrong] == [404] * 4


def test_nothing_is_saved_without_a_picture_or_for_somebody_else(house: RestHouse, context: UiContext):
    with pytest.raises(InvalidRequest, match="no picture"):
        kept(context, OWNER, Shown(), "0", packed=False)
    shown = gallery(house, job(house))
    with pytest.raises(InvalidRequest, match="no longer remembered"):
        kept(context, Owner(source="ui", user="eve"), shown, "0", packed=False)
    with pytest.raises(InvalidRequest, match="no longer remembered"):
        kept(context, OWNER, replace(shown, job="gone"), "0", packed=False)


@pytest.mark.parametrize("picked", ["", "-1", "1e3", "999", "99999999999", "x"])
def test_whatever_the_page_says_is_selected_is_a_picture(picked: str):
    shown = Shown(numbers=(4, 7))
    assert numbers_of(shown, picked, single=True)[0] in shown.numbers


def test_older_lists_are_widened_and_other_files_left_alone(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("prompt,seed,width\nan old one,1,512\n", encoding="utf-8")
    add_line(path, ["new", *["x"] * (len(COLUMNS) - 1)])
    header, old, new = rows(path)
    assert tuple(header) == COLUMNS
    assert old == ["an old one", "1", "512", *[""] * (len(COLUMNS) - 3)]
    assert new[0] == "new"
    path.write_text("name,address\n", encoding="utf-8")
    with pytest.raises(StorageFault, match="not a list"):
        add_line(path, ["x"])
    assert path.read_text(encoding="utf-8") == "name,address\n"


def test_pictures_are_not_saved_outside_the_data_folder(house: RestHouse, context: UiContext, tmp_path: Path):
    house.services.settings.set({"outdir_save": str(tmp_path.parent / "elsewhere")})
    with pytest.raises(PathRefused):
        kept(context, OWNER, gallery(house, job(house)), "0", packed=False)


def test_the_folder_of_a_picture_is_shown(
    house: RestHouse, context: UiContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(opening.shutil, "which", lambda name: name)
    started: list[Sequence[str]] = []
    assert open_folder(context, "txt2img", None, started.append) == tmp_path / "outputs" / "txt2img-images"
    assert open_folder(context, "img2img", None, started.append) == tmp_path / "outputs" / "img2img-images"
    picture = replace(job(house).images()[0], saved_as=tmp_path / "outputs" / "txt2img-images" / "today" / "a.png")
    assert open_folder(context, "txt2img", picture, started.append).name == "today"
    house.services.settings.set({"open_dir_button_choice": "Output Root"})
    assert open_folder(context, "txt2img", picture, started.append).name == "txt2img-images"
    assert [command[-1].split("/")[-1] for command in started][:3] == ["txt2img-images", "img2img-images", "today"]
    monkeypatch.setattr(opening.shutil, "which", lambda _name: None)
    with pytest.raises(InvalidRequest, match="no program"):
        open_folder(context, "txt2img", None, started.append)


def test_folders_are_not_opened_for_other_machines(house: RestHouse, context: UiContext):
    for refused in (replace(context, remote=True), replace(context, hides_folders=True)):
        with pytest.raises(PathRefused, match="opened only"):
            open_folder(refused, "txt2img", None, lambda _command: pytest.fail("started"))


def upload(folder: Path, name: str, more: str = "") -> dict[str, Any]:
    path = folder / f"{name}{more}.png"
    Image.new("RGB", (8, 8)).save(path)
    return {"path": str(path), "orig_name": f"{name}.png"}


def test_pictures_given_to_a_run_of_many_keep_their_names(tmp_path: Path):
    temp, uploads = tmp_path / "temp", tmp_path / "uploads"
    temp.mkdir()
    files = [
        upload(temp, "a"),
        upload(temp, "b"),
        upload(temp, "a", "2"),
        {**upload(temp, "c"), "orig_name": "../d.png"},
    ]
    folder = uploaded_folder(files, temp, uploads)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    assert {"a.png", "b.png"} < set(names)
    assert folder.parent == uploads
    old = time.time() - KEPT_S - 60
    os.utime(folder, (old, old))
    assert uploaded_folder(files[:1], temp, uploads) != folder
    assert not folder.exists()


def test_only_uploads_are_taken(tmp_path: Path):
    temp, uploads = tmp_path / "temp", tmp_path / "uploads"
    temp.mkdir()
    (tmp_path / "secret").write_text("x")
    for wrong in (None, "x", [], [{"path": str(tmp_path / "secret")}], [{"path": "\0"}], [{}], [3]):
        with pytest.raises(InvalidRequest):
            uploaded_folder(wrong, temp, uploads)
    with pytest.raises(LimitExceeded):
        uploaded_folder([{}] * (MAX_UPLOADS + 1), temp, uploads)


def test_scripts_are_called_with_what_their_controls_hold():
    defaults = [one.default for arguments in SCRIPTS["img2img"].values() for one in arguments if one.elem_id]
    values = [0 if value == "fill" else list(value) if isinstance(value, tuple) else value for value in defaults]
    assert script_of("img2img", ["None", *values]) is None
    call = script_of("img2img", ["poor man's outpainting", *values])
    assert call is not None
    assert (call.name, call.args) == ("Poor man's outpainting", (128, 4, 0, ("left", "right", "up", "down")))
    call = script_of("img2img", ["outpainting mk2", *values])
    assert call is not None
    assert call.args == (None, 128, 8, ("left", "right", "up", "down"), 1.0, 0.05)
    with pytest.raises(InvalidRequest, match="pixels"):
        script_of("img2img", ["outpainting mk2", *([1] * len(values))])
    with pytest.raises(InvalidRequest, match="not found"):
        script_of("img2img", ["x", *values])


def test_every_setting_can_be_put_at_the_top(house: RestHouse):
    hints = house.client.get("/internal/quicksettings-hint").json()
    assert {"name": "sd_vae", "label": "SD VAE"} in hints
    assert {one["name"] for one in hints} == set(house.services.settings.snapshot().keys())
