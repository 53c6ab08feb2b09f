"""The Checkpoint Merger in a real browser: two checkpoints become a third, which makes a picture at once."""

import os
from pathlib import Path
from typing import Any

import pytest

from modules.families.toy.checkpoint import make_toy_checkpoint
from tests.browser.browser_house import Visit

pytestmark = pytest.mark.browser

MADE = "0.5(toy) + 0.5(zebra)"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    models = made / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    make_toy_checkpoint(models / "zebra.safetensors", seed=1)
    return made


def choose(visit: Visit, control: str, title: str) -> None:
    """Choose an entry of a drop-down by how it begins."""
    visit.page.locator(f"#{control} input").click()
    visit.page.locator(f'#{control} [role=option][aria-label^="{title}"]').first.click()


def looked_at(visit: Visit, name: str) -> None:
    """Keep a picture of the page where somebody asked for pictures."""
    if folder := os.environ.get("WEBUI_SCREENSHOTS"):
        visit.page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_two_checkpoints_become_a_third(visit: Visit):
    visit.tab("Checkpoint Merger")
    visit.page.wait_for_selector("#modelmerger_merge")
    visit.page.click("#modelmerger_merge")
    visit.says("#html_log_modelmerger", "Weighted sum needs a model A")
    choose(visit, "modelmerger_primary_model_name", "toy")
    choose(visit, "modelmerger_secondary_model_name", "zebra")
    slider: Any = visit.page.locator("#modelmerger_interp_amount input[type=number]")
    slider.fill("0.5")
    slider.press("Tab")
    looked_at(visit, "merger-before")
    visit.page.click("#modelmerger_merge")
    visit.says("#modelmerger_result", f"Checkpoint saved as {MADE}.safetensors")
    visit.page.wait_for_selector("#modelmerger_generate_box:not([data-running])")
    visit.page.wait_for_timeout(500)
    assert visit.page.input_value("#setting_sd_model_checkpoint input").startswith("toy.safetensors")
    looked_at(visit, "merger-after")
    choose(visit, "setting_sd_model_checkpoint", MADE)
    visit.tab("txt2img")
    visit.prompt("a fox")
    visit.number("steps", 2)
    visit.number("width", 64)
    visit.number("height", 64)
    visit.generate()
    visit.wait_until_done()
    visit.says("#html_info_txt2img", f"Model: {MADE}")


def test_the_method_is_described_and_metadata_are_read(visit: Visit):
    visit.tab("Checkpoint Merger")
    visit.says("#modelmerger_interp_description", "A * (1 - M) + B * M")
    visit.page.get_by_label("Add difference").check()
    visit.says("#modelmerger_interp_description", "A + (B - C) * M")
    choose(visit, "modelmerger_primary_model_name", "toy")
    visit.page.locator("#modelmerger_metadata_editor").get_by_text("Metadata", exact=True).click()
    visit.page.click("#modelmerger_read_metadata")
    visit.holds("#modelmerger_metadata_json textarea", '{\n    "modelspec.architecture": "webui-toy"\n}')
    looked_at(visit, "merger-metadata")
