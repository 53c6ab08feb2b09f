"""What the page does around the pictures: it follows the checkpoint, shows, saves and takes them, and runs scripts."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.browser_house import Visit, visiting

pytestmark = pytest.mark.browser

SIDE = 64
YAML = "model:\n  params:\n    image_size: 16\n"
DROP = """async ([selector, address]) => {
    const data = new DataTransfer();
    const blob = await (await fetch(address)).blob();
    data.items.add(new File([blob], 'dropped.png', { type: 'image/png' }));
    const drop = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector(selector).dispatchEvent(drop);
}"""
PASTE = """async (address) => {
    const data = new DataTransfer();
    const blob = await (await fetch(address)).blob();
    data.items.add(new File([blob], 'pasted.png', { type: 'image/png' }));
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
}"""
FOLLOW = """async ([told, values]) => {
    const { follow } = await import('./internal/ui/assets/follow.js?' + Math.random());
    return told.map((one, at) => (values[at] = follow('txt2img', JSON.stringify(one), values[at] ?? values[at - 1])));
}"""


@pytest.fixture(scope="module")
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """One page for all of these, because what they do to it does not disturb the others."""
    with visiting(browser, address, height=1400) as page:
        yield page


def made(visit: Visit, prompt: str, count: int = 1) -> list[str]:
    """Make small pictures; returns their addresses."""
    visit.page.click("#tab_txt2img-button")
    visit.prompt(prompt)
    for name, value in {"steps": 3, "width": SIDE, "height": SIDE, "batch_count": count}.items():
        visit.number(name, value)
    visit.generate()
    visit.wait_until_done()
    visit.says("#html_info_txt2img", prompt)
    thumbnails = visit.page.locator("#txt2img_gallery .thumbnail-small img")
    return [thumbnails.nth(at).get_attribute("src") for at in range(thumbnails.count())]


def told(title: str, suggested: dict[str, object], preset: dict[str, object] | None = None) -> dict[str, object]:
    defaults = {"txt2img": {"steps": 20, "width": 512}}
    presets = {} if preset is None else {"txt2img": preset}
    return {
        "title": title, "names": ["steps", "width"], "defaults": defaults, "wanted": defaults,
        "suggested": {"txt2img": suggested},
        "presets": presets,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "values", "wanted"),
    [
        ([told("a", {"width": 128})], [[20, 512]], [20, 128]),
        ([told("a", {"width": 128})], [[20, 640]], [20, 640]),
        ([told("a", {"steps": 4}), told("b", {})], [[20, 512]], [20, 512]),
        ([told("a", {"steps": 4}), told("b", {})], [[20, 512], [6, 512]], [6, 512]),
        ([told("a", {}), told("b", {}, {"steps": 9})], [[20, 512], [6, 640]], [9, 640]),
        ([told("a", {}, {"steps": 9})], [[6, 512]], [6, 512]),
        ([told("a", {}, {"steps": 9}), told("b", {"steps": 4})], [[20, 512]], [4, 512]),
        ([told("a", {"steps": 4}), told("a", {"steps": 4})], [[20, 512], [20, 512]], [20, 512]),
    ],
)
def test_only_values_that_nobody_typed_follow(
    visit: Visit, steps: list[object], values: list[list[int]], wanted: list[int]
):
    assert visit.page.evaluate(FOLLOW, [steps, values])[-1] == wanted


def test_sizes_follow_the_checkpoint_and_presets_come_back(visit: Visit, data: Path):
    folder = data / "models" / "Stable-diffusion"
    shutil.copy(folder / "toy.safetensors", folder / "wee_lcm.safetensors")
    (folder / "wee_lcm.yaml").write_text(YAML, encoding="utf-8")
    (folder / "torn.safetensors").write_bytes(b"<html>")
    visit.tab("Models")
    visit.page.click("#models_refresh")
    row = visit.page.locator(".model", has_text="wee_lcm")
    row.get_by_role("button", name="Use").click()
    row.get_by_role("button", name="In use").wait_for()
    visit.says(".model[data-faulty]", "torn.safetensors")
    visit.page.fill("#models_search", "wee")
    visit.page.locator(".model[data-faulty]").wait_for(state="hidden")
    visit.page.click("#tab_txt2img-button")
    visit.shows(width=128, height=128, steps=6, cfg_scale=1.5)
    visit.number("steps", 5)
    visit.page.click("#txt2img_preset_save")
    visit.says("#txt2img_preset_note", "wee_lcm.safetensors")
    visit.tab("Models")
    visit.page.fill("#models_search", "toy")
    toy = visit.page.locator(".model", has_text="toy.safetensors")
    toy.get_by_role("button", name="Use").click()
    toy.get_by_role("button", name="In use").wait_for()
    visit.page.click("#tab_txt2img-button")
    visit.shows(width=512, cfg_scale=7)
    visit.number("steps", 8)
    visit.reload()
    visit.shows(steps=20)
    visit.tab("Models")
    row.get_by_role("button", name="Use").click()
    row.get_by_role("button", name="In use").wait_for()
    visit.page.click("#tab_txt2img-button")
    visit.shows(width=128, steps=5)
    visit.page.click("#txt2img_preset_forget")
    visit.page.wait_for_function("document.querySelector('#txt2img_preset_note').innerText.trim() === ''")
    visit.tab("Models")
    toy.get_by_role("button", name="Use").click()
    toy.get_by_role("button", name="In use").wait_for()


def test_pictures_are_shown_over_the_page_and_saved(visit: Visit, data: Path):
    pictures = made(visit, "shown large", count=2)
    assert len(pictures) == 3
    visit.page.click("#txt2img_gallery .media-button")
    large = visit.page.locator("#lightboxModal img")
    assert large.get_attribute("src") == pictures[0]
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    assert large.get_attribute("src") == pictures[2]
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowLeft")
    assert large.get_attribute("src") == pictures[2]
    visit.page.keyboard.press("z")
    visit.page.wait_for_selector("#lightboxModal[data-fit=full]")
    visit.page.keyboard.press("s")
    visit.says("#html_log_txt2img", "Saved")
    visit.page.keyboard.press("Escape")
    large.wait_for(state="hidden")
    (saved,) = (data / "log" / "images").glob("*.png")
    assert saved.read_bytes() == visit.page.request.get(pictures[2]).body()
    seed = visit.page.request.get(pictures[2]).url.rpartition("-")[2].removesuffix(".png")
    visit.says("#html_info_txt2img", f"Seed: {seed}")
    visit.page.click("#save_zip_txt2img")
    visit.page.wait_for_selector("#html_log_txt2img a[download$='.zip']")


def test_a_picture_dropped_on_the_prompt_is_read(visit: Visit):
    (picture,) = made(visit, "to be dropped")
    visit.prompt("something else")
    visit.number("steps", 9)
    visit.page.evaluate(DROP, ["#txt2img_prompt textarea", picture])
    visit.holds("#txt2img_prompt textarea", "to be dropped")
    visit.shows(steps=3)


def test_a_pasted_picture_goes_to_the_field_that_is_seen(visit: Visit):
    (picture,) = made(visit, "to be pasted")
    visit.page.click("#tab_img2img-button")
    visit.page.wait_for_selector("#img2img_image input[type=file]", state="attached")
    visit.page.evaluate(PASTE, picture)
    visit.page.wait_for_selector("#img2img_image img")
    first = visit.page.locator("#img2img_image img").first.get_attribute("src")
    (other,) = made(visit, "pasted over it")
    visit.page.click("#tab_img2img-button")
    visit.page.evaluate(PASTE, other)
    visit.page.wait_for_function(
        "first => { const image = document.querySelector('#img2img_image img'); "
        "return image !== null && image.getAttribute('src') !== first; }",
        arg=first,
    )
    visit.number("width", 128, tab="img2img")
    visit.page.wait_for_selector("#imageARPreview")


def test_generating_goes_on_until_it_is_cancelled(visit: Visit):
    made(visit, "again and again")
    known = len(visit.api("internal/jobs")["jobs"])
    visit.page.click("#txt2img_generate", button="right")
    visit.page.get_by_role("menuitem", name="Generate forever").click()
    visit.page.wait_for_function(
        "async known => (await (await fetch('internal/jobs')).json()).jobs.length >= known", arg=min(known + 2, 16)
    )
    visit.page.wait_for_selector("#txt2img_generate_box[data-forever]")
    visit.page.click("#txt2img_generate", button="right")
    visit.page.get_by_role("menuitem", name="Cancel generate forever").click()
    visit.page.wait_for_selector("#txt2img_generate_box:not([data-forever])")
    visit.wait_until_done()
    visit.prompt("AND ".join(["word "] * 100))
    visit.page.click("#txt2img_generate", button="right")
    visit.page.get_by_role("menuitem", name="Generate forever").click()
    visit.page.wait_for_selector("#html_log_txt2img .error")
    visit.page.wait_for_selector("#txt2img_generate_box:not([data-forever])")


def test_a_size_pasted_into_one_field_fills_both(visit: Visit):
    visit.page.click("#tab_txt2img-button")
    visit.page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData('text/plain', '640x960');
            document.querySelector('#txt2img_height input[type=number]').dispatchEvent(
                new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    visit.shows(width=640, height=960)


def test_a_script_widens_a_picture(visit: Visit, tmp_path: Path):
    Image.new("RGB", (SIDE, SIDE), (20, 40, 200)).save(tmp_path / "blue.png")
    visit.reload()
    visit.page.click("#tab_img2img-button")
    visit.page.set_input_files("#img2img_image input[type=file]", tmp_path / "blue.png")
    visit.page.wait_for_selector("#img2img_image img")
    for name, value in {"steps": 3, "width": 128, "height": 128}.items():
        visit.number(name, value, tab="img2img")
    visit.page.click("#tab_img2img #script_list input")
    visit.page.get_by_role("option", name="Poor man's outpainting").click()
    pixels = visit.page.locator("#script_poor_mans_outpainting_pixels input[type=number]")
    pixels.fill("64")
    pixels.press("Tab")
    assert visit.page.locator("#script_outpainting_mk2_pixels").count() == 0
    visit.generate("img2img")
    visit.wait_until_done("img2img")
    visit.page.wait_for_selector("#img2img_gallery img")
    width = "document.querySelector('#img2img_gallery .media-button img')?.naturalWidth"
    visit.page.wait_for_function(f"{width} === {SIDE + 2 * 64}")


def test_many_pictures_are_given_at_once(visit: Visit, tmp_path: Path):
    for name in ("one", "two"):
        Image.new("RGB", (SIDE, SIDE), (20, 40, 200)).save(tmp_path / f"{name}.png")
    visit.reload()
    visit.page.click("#tab_img2img-button")
    visit.page.click("#img2img_batch_tab-button")
    visit.page.set_input_files("#img2img_batch_upload input[type=file]", [tmp_path / "one.png", tmp_path / "two.png"])
    visit.says("#img2img_batch_upload", "two")
    visit.number("steps", 3, tab="img2img")
    visit.page.click("#img2img_tab_resize_by-button")
    visit.number("scale", 1.5, tab="img2img")
    visit.generate("img2img")
    visit.wait_until_done("img2img")
    visit.says("#html_log_img2img", "2 made")
    visit.says("#html_info_img2img", "Size: 96x96")


def test_rows_of_the_hires_pass_appear_when_a_text_uses_them(visit: Visit):
    visit.page.click("#tab_txt2img-button")
    text = (
        "x\nSteps: 3, Sampler: Euler, CFG scale: 3, Seed: 5, Size: 64x64, Denoising strength: 0.5, Hires upscale: 1.5"
    )
    visit.prompt(text)
    visit.page.click("#paste")
    visit.page.wait_for_selector("#txt2img_hr_scale")
    assert visit.page.locator("#hr_sampler").is_visible() is False
    visit.prompt(text + ", Hires sampler: Euler a")
    visit.page.click("#paste")
    visit.page.wait_for_selector("#hr_sampler")
    visit.holds("#hr_sampler input", "Euler a")
    assert visit.page.locator("#hires_prompt").is_visible() is False


def test_the_page_speaks_another_language_and_prompts_do_not(visit: Visit, data: Path):
    (data / "localizations").mkdir()
    words = {"Generate": "Machen", "Seed": "Keim", "Prompt": "Text", "Save": "Sichern"}
    (data / "localizations" / "de.json").write_text(json.dumps(words), encoding="utf-8")

    def choose(name: str) -> None:
        change = {"values": {"localization": name}}
        answer = visit.page.request.post(f"{visit.address}/internal/ui/settings", data=change)
        assert answer.json()["refused"] == {}
        visit.reload()

    choose("de")
    visit.says("#txt2img_generate", "Machen")
    visit.says("#txt2img_seed", "Keim")
    visit.says("#save_txt2img", "Sichern")
    visit.prompt("Seed")
    visit.holds("#txt2img_prompt textarea", "Seed")
    choose("None")
    visit.says("#txt2img_generate", "Generate")


def test_defaults_and_the_order_of_the_page_hold_after_building_it_anew(visit: Visit):
    visit.page.click("#tab_txt2img-button")
    visit.number("steps", 33)
    visit.tab("Settings")
    visit.page.click("#settings_defaults button.label-wrap")
    visit.page.click("#ui_defaults_view")
    visit.says("#ui_defaults_review_txt2img", "Sampling steps")
    visit.page.click("#ui_defaults_apply")
    visit.says("#ui_defaults_review_txt2img", "changed")
    for name in ("sd_vae", "Models"):
        visit.page.fill("#settings_search", "quicksettings_list" if name == "sd_vae" else "hidden_tabs")
        key = "quicksettings_list" if name == "sd_vae" else "hidden_tabs"
        if name == "sd_vae":
            visit.page.fill(f"#setting_{key} textarea", "sd_model_checkpoint\nsd_vae")
        else:
            visit.page.get_by_role("checkbox", name=name, exact=True).check()
    visit.page.click("#settings_submit")
    visit.says(".settings-status", "2 settings changed")
    with visit.left():
        visit.page.click("#settings_restart_gradio")
        visit.page.wait_for_selector("#setting_sd_vae")
    visit.shows(steps=33)
    assert visit.page.get_by_role("tab", name="Models", exact=True).count() == 0
    visit.prompt("after building anew")
    visit.number("width", SIDE)
    visit.number("height", SIDE)
    visit.generate()
    visit.wait_until_done()
    visit.says("#html_info_txt2img", "after building anew")
