"""The page as gradio describes it to the browser: sizes of events, element ids, what it serves."""

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from modules.domain.errors import InvalidRequest
from modules.web.ui.tabs.hires import sizes_note
from modules.web.ui.tabs.img2img_events import scale_note, scaled
from modules.web.ui.tabs.sources import SOURCES
from modules.web.ui.values import parameters
from tests.web.rest_house import ORIGIN, RestHouse, rest_house
from tests.web.ui_house import ui_context

MAX_INPUTS, MAX_OUTPUTS = 100, 70
"""The browser's main thread is blocked for about inputs times components. Outputs cost only where they change; a pasted
text may change the controls of every script, which are half of them."""

ELEMENT_IDS = (
    "tabs", "tab_txt2img", "tab_pnginfo", "tab_settings", "quicksettings", "setting_sd_model_checkpoint",
    "refresh_sd_model_checkpoint", "txt2img_toprow", "txt2img_prompt", "txt2img_neg_prompt", "txt2img_token_counter",
    "txt2img_negative_token_counter", "txt2img_generate", "txt2img_interrupt", "txt2img_skip", "paste",
    "txt2img_clear_prompt", "txt2img_style_apply", "txt2img_restore_progress", "txt2img_styles", "txt2img_settings",
    "txt2img_sampling", "txt2img_scheduler", "txt2img_steps", "txt2img_width", "txt2img_height",
    "txt2img_res_switch_btn", "txt2img_batch_count", "txt2img_batch_size", "txt2img_cfg_scale", "txt2img_seed",
    "txt2img_random_seed", "txt2img_reuse_seed", "txt2img_subseed_show", "txt2img_subseed",
    "txt2img_subseed_strength", "txt2img_seed_resize_from_w", "txt2img_seed_resize_from_h",
    "txt2img_override_settings", "txt2img_results", "txt2img_gallery", "txt2img_gallery_container",
    "txt2img_hr", "txt2img_hr-checkbox", "txtimg_hr_finalres", "txt2img_hr_upscaler", "txt2img_hires_steps",
    "txt2img_denoising_strength", "txt2img_hr_scale", "txt2img_hr_resize_x", "txt2img_hr_resize_y", "hr_checkpoint",
    "hr_sampler", "hr_scheduler", "hires_prompt", "hires_neg_prompt", "txt2img_enable", "txt2img_enable-checkbox",
    "txt2img_checkpoint", "txt2img_switch_at", "txt2img_styles_edit_button", "image_buttons_txt2img",
    "tab_img2img", "img2img_prompt", "img2img_generate", "mode_img2img", "img2img_img2img_tab", "img2img_image",
    "img2img_sketch", "img2maskimg", "inpaint_sketch", "img_inpaint_base", "img_inpaint_mask", "inpaint_controls",
    "img2img_mask_blur", "img2img_mask_alpha", "img2img_mask_mode", "img2img_inpainting_fill",
    "img2img_inpaint_full_res", "img2img_inpaint_full_res_padding", "resize_mode", "img2img_tabs_resize",
    "img2img_scale", "img2img_detect_image_size_btn", "img2img_denoising_strength", "img2img_image_cfg_scale",
    "img2img_extend", "img2img_extend-checkbox", "img2img_extend_left", "img2img_extend_overlap", "img2img_gallery",
    "html_info_img2img", "img2img_batch_input_dir", "img2img_batch_output_dir",
    "img2img_batch_inpaint_mask_dir", "txt2img_upscale", "txt2img_tab", "img2img_tab", "inpaint_tab", "html_info_txt2img", "html_log_txt2img", "pnginfo_image", "html_pnginfo", "settings", "footer",
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("page")) as built:
        yield built


@pytest.fixture(scope="module")
def config(house: RestHouse, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from modules.web.ui.build import build

    return {**build(ui_context(house, tmp_path_factory.mktemp("temp"))).get_config_file()}


def props(config: dict[str, Any], elem_id: str) -> dict[str, Any]:
    return next(one["props"] for one in config["components"] if one["props"].get("elem_id") == elem_id)


def test_no_event_moves_more_than_the_browser_bears(config: dict[str, Any]):
    events = config["dependencies"]
    assert len(events) > 15
    assert max(len(event["inputs"]) for event in events) <= MAX_INPUTS
    assert max(len(event["outputs"]) for event in events) <= MAX_OUTPUTS


def test_editors_are_not_part_of_events_of_the_server(config: dict[str, Any]):
    """Whatever component was, is asked for its value at each later event; an editor then encodes three pictures."""
    editors = {one["id"] for one in config["components"] if one["type"] == "imageeditor"}
    assert len(editors) == 3
    for event in config["dependencies"]:
        if event["backend_fn"]:
            assert editors.isdisjoint(event["inputs"])
            assert editors.isdisjoint(event["outputs"]) or event["show_progress_on"]


def test_no_event_is_offered_as_an_api(config: dict[str, Any]):
    assert {event["api_visibility"] for event in config["dependencies"]} == {"private"}


def test_element_ids_are_those_that_extensions_look_for(config: dict[str, Any]):
    found = collections.Counter(one["props"].get("elem_id") for one in config["components"])
    assert [name for name in ELEMENT_IDS if found[name] != 1] == []
    del found[None]
    # Both tabs have one of these, as in A1111; style sheets tell them apart by what is around them.
    assert [name for name, count in found.items() if count > 1] == ["script_list"]


def test_controls_of_masks_follow_the_inner_tab_and_the_extended_canvas(config: dict[str, Any]):
    ids = {one["id"]: one["props"].get("elem_id") for one in config["components"]}
    shown = {
        (ids.get(target), event)
        for one in config["dependencies"]
        for target, event in one["targets"]
        if "inpaint_controls" in {ids.get(output) for output in one["outputs"]}
    }
    tabs = {(source.tab_id, "select") for source in SOURCES}
    assert shown == tabs | {("img2img_extend-checkbox", "change")}


def test_page_is_small(config: dict[str, Any]):
    assert len(config["components"]) < 620


def test_controls_offer_what_declarations_say(config: dict[str, Any]):
    steps, wanted = props(config, "txt2img_steps"), parameters("txt2img")["steps"]
    assert wanted.param.slider is not None
    assert (steps["minimum"], steps["maximum"]) == wanted.param.slider
    assert (steps["value"], steps["label"]) == (wanted.default, wanted.param.label)
    sampler = props(config, "txt2img_sampling")
    assert [name for name, _ in sampler["choices"]] == ["DPM++ 2M", "Euler a", "Euler"]
    assert sampler["value"] == "DPM++ 2M"


def test_pictures_are_never_encoded_again_by_gradio(config: dict[str, Any]):
    assert props(config, "txt2img_gallery")["interactive"] is False
    assert props(config, "pnginfo_image")["type"] == "filepath"
    assert props(config, "img2img_image")["format"] == "png"
    assert props(config, "img2maskimg")["format"] == "png"


def test_every_control_has_a_name(config: dict[str, Any]):
    kinds = {"textbox", "dropdown", "slider", "number", "radio", "checkbox", "image", "imageeditor"}
    controls = [one["props"] for one in config["components"] if one["type"] in kinds]
    assert len(controls) > 60
    assert [one["elem_id"] for one in controls if one["visible"] is True and not one["label"]] == []


def test_sizes_of_the_hires_pass_are_told():
    values = {"width": 512, "height": "384", "hr_scale": 1.5, "hr_resize_x": 0, "hr_resize_y": 0}
    assert "from 512x384 to <" in sizes_note(values, old=False)
    assert ">768x576<" in sizes_note(values, old=False)
    assert ">640x480<" in sizes_note({**values, "hr_resize_x": 640}, old=False)
    assert sizes_note({**values, "width": 1024, "height": 1024}, old=True).count("512x512") == 1
    assert sizes_note({**values, "width": "wide"}, old=False) == ""


def test_sizes_of_a_scaled_picture_are_told():
    assert scaled((100, 51), 1.5) == (150, 76)
    assert ">150x76<" in scale_note((100, 51), 1.5)
    assert scale_note(None, 2) == scale_note((8, 8), "twice") == ""
    for factor in (0, -1, 1000, True, "2", None):
        with pytest.raises(InvalidRequest):
            scaled((8, 8), factor)


def test_hidden_samplers_are_not_offered(house: RestHouse):
    from modules.web.ui.values import offered_samplers

    names = ["Euler", "Euler a"]
    hidden = house.services.settings.snapshot().with_overrides({"hide_samplers": ["Euler"]})
    assert offered_samplers(hidden, names) == ["Euler a"]
    assert offered_samplers(hidden.with_overrides({"hide_samplers": names}), names) == names


def test_footer_and_head_name_our_own_files_only(house: RestHouse, tmp_path: Path):
    from modules.web.ui.build import footer, head

    assert "./docs" in footer(ui_context(house, tmp_path))
    assert "http" not in head("dark")
    assert "__theme" in head("dark")
    assert "__theme" not in head(None)


@pytest.fixture(scope="module")
def served(house: RestHouse, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    from modules.web.ui.build import application

    return TestClient(
        application(ui_context(house, tmp_path_factory.mktemp("served"))).app,
        base_url=ORIGIN,
        raise_server_exceptions=False,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "%252e%252e/etc/passwd", "..\\..\\etc\\passwd",
        "http://127.0.0.1:9/", "//127.0.0.1:9/", "%00", "webui.py", "{root}/webui.py", "{root}/no such file",
        "{root}/modules/web/ui/build.py", "{root}/.git/config",
    ],
)  # fmt: skip
def test_no_file_outside_uploads_is_served(served: TestClient, path: str):
    wanted = path.replace("{root}", str(Path(__file__).resolve().parents[2]))
    answer = served.get(f"/gradio_api/file={wanted}", follow_redirects=False)
    assert answer.status_code in (403, 404)


@pytest.mark.parametrize("body", [{"fn_index": 9999}, {"fn_index": -1}, {}, {"fn_index": "a"}, []])
@pytest.mark.parametrize("route", ["run/predict", "queue/join"])
def test_unknown_events_are_the_clients_mistake(served: TestClient, route: str, body: object):
    asked = {"data": [], "session_hash": "x", **body} if isinstance(body, dict) else body
    answer = served.post(f"/gradio_api/{route}", json=asked)
    assert 400 <= answer.status_code < 500
    assert "detail" in answer.json()
