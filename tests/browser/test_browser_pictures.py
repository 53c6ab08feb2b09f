"""Pictures from pictures, the hires pass, and the way of a picture from tab to tab, in a real browser."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.browser_house import Visit, visiting

pytestmark = pytest.mark.browser

SIDE = 64
BLUE = (20, 40, 200)


@pytest.fixture(scope="module")
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """One page for all of these, because what they do to it does not disturb the others."""
    with visiting(browser, address, height=1400) as page:
        yield page


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A picture of one colour."""
    Image.new("RGB", (SIDE, SIDE), BLUE).save(tmp_path / "blue.png")
    return tmp_path / "blue.png"


def small(visit: Visit, tab: str, prompt: str, **numbers: float) -> None:
    """Set the controls of a tab to a small picture."""
    visit.page.click(f"#tab_{tab}-button")
    visit.page.fill(f"#{tab}_prompt textarea", prompt)
    for name, value in {"steps": 3, "width": SIDE, "height": SIDE, **numbers}.items():
        visit.number(name, value, tab=tab)


def made(visit: Visit, tab: str, place: int = 0) -> np.ndarray:
    """Press Generate, wait for the result, and return its pixels; [H, W, 3]."""
    shown = f"#{tab}_gallery img"
    before = visit.page.locator(shown).first.get_attribute("src") if visit.page.locator(shown).count() else ""
    visit.page.click(f"#{tab}_generate")
    visit.page.wait_for_function(
        "([selector, before]) => { const image = document.querySelector(selector); "
        "return image !== null && image.getAttribute('src') !== before; }",
        arg=[shown, before],
    )
    visit.wait_until_done(tab)
    address = visit.page.locator(shown).nth(place).get_attribute("src")
    picture = Image.open(io.BytesIO(visit.page.request.get(address).body()))
    return np.asarray(picture.convert("RGB")).astype(int)


def stroke(visit: Visit, editor: str) -> None:
    """Draw a short line in the middle of an editor's picture."""
    box: dict[str, Any] = visit.page.locator(f"{editor} canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x - 10, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 10, y, steps=4)
    visit.page.mouse.up()


def test_hires_fix_makes_the_larger_picture(visit: Visit):
    small(visit, "txt2img", "a fox")
    visit.page.check("#txt2img_hr-checkbox input")
    visit.page.wait_for_function("/64x64 to 128x128/.test(document.querySelector('#txtimg_hr_finalres').textContent)")
    visit.number("hr_scale", 1.5)
    visit.page.wait_for_function("/64x64 to 96x96/.test(document.querySelector('#txtimg_hr_finalres').textContent)")
    assert made(visit, "txt2img").shape == (96, 96, 3)
    visit.says("#html_info_txt2img", "Hires upscale: 1.5")
    visit.page.uncheck("#txt2img_hr-checkbox input")
    visit.page.wait_for_selector("#txt2img_hr_scale", state="hidden")
    assert made(visit, "txt2img").shape == (SIDE, SIDE, 3)


def test_a_picture_is_sent_to_inpaint_with_its_words(visit: Visit):
    small(visit, "txt2img", "to be sent")
    before = made(visit, "txt2img")
    visit.page.click("#txt2img_send_to_inpaint")
    visit.page.wait_for_selector("#img2maskimg canvas")
    visit.page.wait_for_function("document.querySelector('#img2img_prompt textarea')?.value === 'to be sent'")
    visit.page.wait_for_timeout(1000)  # the editor lays a picture out a moment after it is there
    visit.number("mask_blur", 0, tab="img2img")
    stroke(visit, "#img2maskimg")
    after = made(visit, "img2img")
    changed = np.abs(after - before).max(axis=2) > 0  # [H, W]
    assert after.shape == before.shape
    assert changed[SIDE // 2 - 2 : SIDE // 2 + 2, SIDE // 2 - 2 : SIDE // 2 + 2].any()
    assert not changed[:4].any()
    assert not changed[-4:].any()
    assert changed.mean() < 0.7


def test_an_uploaded_picture_is_repainted(visit: Visit, source: Path):
    small(visit, "img2img", "a fox", denoising_strength=0.5)
    visit.page.click("#img2img_img2img_tab-button")
    visit.page.set_input_files("#img2img_image input[type=file]", source)
    visit.page.click("#img2img_tab_resize_by-button")
    visit.number("scale", 1.5, tab="img2img")
    visit.page.wait_for_function(
        "/64x64 to 96x96/.test(document.querySelector('#img2img_scale_resolution_preview').textContent)"
    )
    after = made(visit, "img2img")
    assert after.shape == (96, 96, 3)
    visit.says("#html_info_img2img", "Denoising strength: 0.5")


def test_styles_are_made_and_offered(visit: Visit):
    visit.page.click("#tab_txt2img-button")
    visit.prompt("a fox")
    visit.page.click("#txt2img_styles_edit_button")
    visit.page.fill("#styles_editor_name", "ink <b>")
    visit.page.fill("#styles_editor_prompt", "{prompt}, in ink")
    visit.page.click("#styles_editor_save")
    visit.page.wait_for_function("/Saved/.test(document.querySelector('#styles_editor').innerText)")
    visit.page.click("#styles_editor_apply")
    visit.page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === 'a fox, in ink'")
    visit.page.click("#styles_editor_close")
    visit.page.click("#txt2img_styles input")
    visit.page.get_by_role("option", name="ink <b>").wait_for()
    visit.page.keyboard.press("Escape")
