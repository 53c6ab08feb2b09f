"""Extras as jobs: over our own API, beside A1111's endpoints, and from the page."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.domain.errors import InvalidRequest
from modules.domain.extras import ExtrasOutcome, ExtrasRequest
from modules.engine.job import JobHandle, Owner
from modules.imaging.open import open_image
from modules.web.rest.script_list import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.results import show
from modules.web.ui.settings_form import choices_of
from modules.web.ui.tabs.extras_events import FILES, FOLDER, SINGLE, by_step, request_of
from modules.web.ui.tabs.gallery import kept
from tests.engine.fakes import png
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context

SENT = base64.b64encode(png(48, 32, "a cat\nSteps: 1, Sampler: Euler, Seed: 1")).decode()
TWICE = {"Upscale": {"upscaler_1_name": "Nearest", "upscale_by": 2}}
ELEMENT_IDS = (
    "tab_extras", "mode_extras", "extras_single_tab", "extras_image", "extras_batch_process_tab", "extras_image_batch",
    "extras_batch_directory_tab", "extras_batch_input_dir", "extras_batch_output_dir", "extras_show_extras_results",
    "extras_generate", "extras_upscale", "extras_upscale-checkbox", "extras_resize_mode", "extras_scale_by_tab",
    "extras_upscaling_resize", "extras_scale_to_tab", "extras_upscaling_resize_w", "extras_upscaling_resize_h",
    "extras_upscaling_res_switch_btn", "extras_upscaling_crop", "extras_upscaler_1", "extras_upscaler_2",
    "extras_upscaler_2_visibility", "postprocess_split_size_threshold", "postprocess_overlap_ratio",
    "postprocess_focal_crop_edges_weight", "postprocess_multicrop_mindim", "postprocess_multicrop_objective", "extras_gallery", "html_info_extras",
    "html_log_extras", "image_buttons_extras", "extras_send_to_img2img", "txt2img_send_to_extras",
    "img2img_send_to_extras", "extras_tab",
)  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as made:
        yield made


@pytest.fixture
def context(house: RestHouse, tmp_path: Path) -> UiContext:
    return ui_context(house, tmp_path)


def ended(house: RestHouse, wanted: ExtrasRequest) -> JobHandle:
    handle = house.services.desk.accept(wanted, Owner(source="ui"), kind="extras")
    assert list(handle.events())
    return handle


def test_a_job_of_our_own_runs_any_steps_and_saves(house: RestHouse, tmp_path: Path):
    body = {"kind": "extras", "images": [{"data": SENT, "name": "cat.png"}], "steps": {**TWICE, "flipped-copies": {}}}
    answer = house.client.post("/api/v2/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert list(house.services.desk.find(answer.json()["id"]).events())  # type: ignore[union-attr]
    job = house.client.get(f"/api/v2/jobs/{answer.json()['id']}").json()
    told = (job["kind"], job["title"], job["state"], job["progress"]["fraction"])
    assert told == ("extras", "cat.png", "finished", 1.0)
    assert [(one["name"], one["width"], one["grid"], one["saved"]) for one in job["files"]] == [
        ("00000.png", 96, False, True), ("00001-flipped-horizontally.png", 96, False, True),
    ]  # fmt: skip
    file = open_image(house.client.get(job["files"][1]["url"]).content)
    assert file.size == (96, 64)
    assert (tmp_path / "outputs" / "extras-images" / "00000.png").is_file()
    again = house.client.post(f"/internal/queue/{job['id']}/again")
    assert again.status_code == 200, again.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "at least one step"), ({"steps": TWICE}, "no picture yet"),
        ({"steps": {"Nope": {}}, "images": [{"data": SENT, "name": ""}]}, "Step 'Nope' not found"),
        ({"steps": {"Upscale": {"upscale_by": "much"}}, "images": [{"data": SENT, "name": ""}]}, "expected a number"),
        ({"steps": TWICE, "images": [{"data": "x!", "name": ""}]}, "Invalid encoded image"),
        ({"steps": TWICE, "images": [{"data": SENT, "name": ""}], "folder": "many"}, "not both"),
    ],
)  # fmt: skip
def test_bad_jobs_are_refused(house: RestHouse, body: dict[str, Any], words: str):
    answer = house.client.post("/api/v2/jobs", json={"kind": "extras", **body})
    assert answer.status_code == 422, answer.text
    assert words in answer.text


def test_a_folder_outside_is_not_read(house: RestHouse, tmp_path: Path):
    handle = ended(house, ExtrasRequest(folder=str(tmp_path.parent), steps=house.services.steps.read(TWICE)))
    assert "outside the data folder" in str(handle.error)


def test_a1111_s_endpoint_is_a_job_that_saves_nothing(house: RestHouse, tmp_path: Path):
    answer = house.post("/extra-single-image", {"image": SENT, "upscaler_1": "Nearest"})
    assert answer.status_code == 200
    line = house.client.get("/internal/jobs").json()["jobs"][-1]
    assert (line["kind"], line["state"]) == ("extras", "finished")
    assert not (tmp_path / "outputs").exists()


def test_element_ids_are_those_of_a1111(context: UiContext):
    from modules.web.ui.build import build

    components = build(context).get_config_file()["components"]
    ids = [one["props"].get("elem_id") for one in components]
    found = {one["props"].get("elem_id"): one["props"] for one in components}
    assert not set(ELEMENT_IDS) - found.keys()
    assert max(ids.count(one) for one in ELEMENT_IDS) == 1
    assert (found["extras_upscaling_resize"]["value"], found["extras_upscaling_resize"]["step"]) == (4.0, 0.05)
    assert found["extras_upscale-checkbox"]["value"] is True


def test_steps_that_the_settings_leave_out_are_not_offered(context: UiContext):
    from modules.web.ui.build import build

    context.services.settings.set({"postprocessing_disable_in_extras": ["Auto-sized crop"]})

    ids = {one["props"].get("elem_id") for one in build(context).get_config_file()["components"]}
    assert "postprocess_overlap_ratio" in ids
    assert "postprocess_multicrop_mindim" not in ids


def test_what_the_page_sends_becomes_a_request(context: UiContext, tmp_path: Path):
    picture = tmp_path / "temp" / "cat.png"
    picture.parent.mkdir()
    picture.write_bytes(png(16, 16, ""))
    sent = {"upscale/enabled": True, "upscale/upscale_by": 2, "upscale/upscaler_1_name": "Lanczos",
            "upscale/max_side_length": None, "flipped-copies/enabled": False, "flipped-copies/both": True}  # fmt: skip
    values = by_step(sent)
    assert values.keys() == {"upscale"}
    one = request_of(context, [SINGLE, str(picture), None, "", "", True], values)
    assert [(given.name, given.image.data) for given in one.pictures] == [("cat", picture.read_bytes())]
    assert (one.steps["upscale"]["upscale_by"], one.steps["upscale"]["max_side_length"]) == (2.0, 0)
    many = request_of(context, [FILES, None, [str(picture)], "", "", False], values)
    assert [path.name for path in Path(many.folder).iterdir()] == ["cat.png"]
    assert many.show is True
    folder = request_of(context, [FOLDER, str(picture), None, " here ", "there", False], values)
    assert (folder.folder, folder.output, folder.show, folder.pictures) == ("here", "there", False, ())
    for mode in (SINGLE, FILES, FOLDER):
        with pytest.raises(InvalidRequest, match=r"no picture|name the folder"):
            request_of(context, [mode, None, None, "", "", True], values)


def test_results_are_shown_kept_and_told(context: UiContext, house: RestHouse, tmp_path: Path):
    (tmp_path / "many").mkdir()
    for name in ("one", "two"):
        (tmp_path / "many" / f"{name}.png").write_bytes(png(16, 16, ""))
    handle = ended(house, ExtrasRequest(folder="many", steps=house.services.steps.read(TWICE)))
    shown = show(handle, house.services.settings.snapshot(), "http://127.0.0.1:7860/")
    assert [address.rpartition("/")[2] for address in shown.addresses] == ["one.png", "two.png"]
    assert shown.infotexts == ("Postprocess upscale by: 2.0, Postprocess upscaler: Nearest",) * 2
    assert "Folder: 2 made" in str(shown.log)
    said = kept(context, Owner(source="ui"), shown, "1", packed=True)
    assert "Saved: 00000-two.png" in str(said)
    row = (tmp_path / "log" / "images" / "log.csv").read_text().splitlines()[1]
    assert row.startswith('"Postprocess upscale by: 2.0, Postprocess upscaler: Nearest",,32,32,')
    assert handle.result_as(ExtrasOutcome).saved == [
        tmp_path / "outputs" / "extras-images" / f"{name}.png" for name in ("one", "two")
    ]


def test_lists_name_the_steps_and_upscalers(house: RestHouse):
    known = house.services.settings.snapshot().declarations()
    offered = choices_of(known["postprocessing_enable_in_main_ui"], house.services)
    assert offered == ["Simple Upscale", "Upscale"]
    assert "Simple Upscale" not in (choices_of(known["postprocessing_operation_order"], house.services) or [])
    assert lists_of(house.services)["upscalers"] == ["None", "Lanczos", "Nearest"]
