"""The tab Extras in a real browser: a picture goes through steps of the program and of extensions, and further."""

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.browser_house import Visit
from tests.engine.fakes import png

pytestmark = pytest.mark.browser

ZOO = Path(__file__).resolve().parents[1] / "compat" / "zoo"
PARAMETERS = "a grey fox\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x32"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    shutil.copytree(ZOO / "after-touch", made / "extensions" / "after-touch")
    return made


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "fox.png"
    path.write_bytes(png(64, 32, PARAMETERS))
    return path


def looked_at(visit: Visit, name: str) -> None:
    """Keep a picture of the page where somebody asked for pictures."""
    if folder := os.environ.get("WEBUI_SCREENSHOTS"):
        visit.page.wait_for_timeout(500)
        visit.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def choose(visit: Visit, control: str, title: str) -> None:
    """Choose an entry of a drop-down."""
    visit.page.locator(f"#{control} input").click()
    visit.page.locator(f'#{control} [role=option][aria-label="{title}"]').click()


def extras(visit: Visit) -> None:
    """Bring the tab to the front; scripts for extensions of A1111 first look into each tab, and come back."""
    for _ in range(40):
        visit.tab("Extras")
        visit.page.wait_for_timeout(250)
        if visit.page.is_visible("#extras_generate"):
            visit.page.wait_for_timeout(250)
            if visit.page.is_visible("#extras_generate"):
                return


def shown(visit: Visit) -> Image.Image:
    """Return the picture that is in front."""
    address = visit.page.locator("#extras_gallery .preview .media-button img").get_attribute("src")
    return Image.open(io.BytesIO(visit.page.request.get(address).body()))


def test_a_picture_goes_through_steps_and_further(visit: Visit, data: Path, picture: Path):
    page = visit.page
    extras(visit)
    looked_at(visit, "extras-empty")
    page.click("#extras_generate")
    visit.says("#html_log_extras", "there is no picture yet")
    page.locator("#extras_image input[type=file]").set_input_files(picture)
    page.wait_for_selector("#extras_image img")
    choose(visit, "extras_upscaler_1", "Nearest")
    visit.number("upscaling_resize", 2, tab="extras")
    page.check("#after_touch-checkbox input")
    page.wait_for_selector("#after_touch_share input[type=number]")
    looked_at(visit, "extras-before")
    visit.generate("extras")
    visit.wait_until_done("extras")
    page.wait_for_selector("#extras_gallery .preview .media-button img")
    visit.says("#html_info_extras", "Postprocess upscale by: 2.0, Postprocess upscaler: Nearest, Negative share: 1")
    made = shown(visit)
    assert (made.size, made.convert("RGB").getpixel((5, 5))) == ((128, 64), (245, 235, 225))
    assert made.info["parameters"] == PARAMETERS
    files = sorted(path.name for path in (data / "outputs" / "extras-images").iterdir())
    assert files == ["00000-negative.png", "00000-negative.txt"]
    looked_at(visit, "extras-after")
    page.click("#extras_send_to_img2img")
    page.wait_for_selector("#img2img_image img")
    visit.shows("img2img", width=128, height=64)
    assert page.input_value("#img2img_prompt textarea") == ""


def test_a_folder_and_pictures_of_other_tabs(visit: Visit, data: Path, picture: Path):
    page = visit.page
    folder = data / "many"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.png").write_bytes(png(16, 32, ""))
    extras(visit)
    visit.tab("PNG Info")
    page.locator("#pnginfo_image input[type=file]").set_input_files(picture)
    visit.says("#html_pnginfo", "a grey fox")
    page.click("#extras_tab")
    page.wait_for_selector("#extras_image img")
    page.get_by_role("tab", name="Batch from Directory", exact=True).click()
    page.fill("#extras_batch_input_dir textarea, #extras_batch_input_dir input", "many")
    page.get_by_role("tab", name="Scale to", exact=True).click()
    visit.number("upscaling_resize_w", 64, tab="extras")
    visit.number("upscaling_resize_h", 64, tab="extras")
    choose(visit, "extras_upscaler_1", "Lanczos")
    looked_at(visit, "extras-folder")
    visit.generate("extras")
    visit.wait_until_done("extras")
    visit.says("#html_log_extras", "Folder: 2 made")
    visit.says("#html_info_extras", "Postprocess upscale to: 64x64, Postprocess crop to: 64x64")
    made = data / "outputs" / "extras-images"
    assert [Image.open(io.BytesIO((made / f"{name}.png").read_bytes())).size for name in ("one", "two")] == [
        (64, 64),
        (64, 64),
    ]
