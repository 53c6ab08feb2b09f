"""What extensions for A1111 add to lists, on the page of the whole program: a page of cards, samplers, schedules."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.browser_house import Visit

pytestmark = pytest.mark.browser
ZOO = Path(__file__).parents[1] / "compat" / "zoo"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for name in ("card-page", "more-samplers", "more-upscalers", "other-unet"):
        shutil.copytree(ZOO / name, made / "extensions" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (made / "spices").mkdir()
    (made / "spices" / "pepper.spice").write_text("x")
    Image.new("RGB", (8, 8), "red").save(made / "spices" / "pepper.png")
    return made


def test_cards_samplers_and_choices_of_extensions(visit: Visit):
    page = visit.page
    page.locator("#txt2img_extra_tabs").get_by_role("tab", name="Spice Rack").click()
    card = page.locator("#txt2img_spice_rack_cards .card", has_text="pepper")
    card.locator("img.preview").wait_for()
    assert card.locator("img.preview").evaluate("async (one) => { await one.decode(); return one.naturalWidth; }") == 8
    card.locator(".card-use").click()
    visit.holds("#txt2img_prompt textarea", '<spice:pepper:1.0> "hot"')
    visit.holds("#txt2img_neg_prompt textarea", "(bland:1.2)")
    card.locator(".card-use").click()
    visit.holds("#txt2img_prompt textarea", "")
    page.locator("#txt2img_extra_tabs").get_by_role("tab", name="Generation").click()
    for control, wanted in (("txt2img_sampling", "Plain Euler"), ("txt2img_scheduler", "Straight down")):
        page.locator(f"#{control} input").click()
        page.get_by_role("option", name=wanted, exact=True).click()
    visit.prompt("a red circle")
    for control, value in (("steps", 2), ("width", 64), ("height", 64)):
        visit.number(control, value)
    visit.generate()
    visit.wait_until_done()
    assert "Sampler: Plain Euler, Schedule type: Straight down" in visit.text("#html_info_txt2img")
    assert {"Mirror x2", "Inverted"} <= {one["name"] for one in visit.api("/sdapi/v1/upscalers")}
