"""What a person does with the page, in a real browser against the real program."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser_house import Visit

pytestmark = pytest.mark.browser

LONG = {"steps": 150, "batch_count": 8}
HOSTILE = "a fox <img src=x onerror=window.hacked=1> & <b>bold</b>"
SEED = r"Seed: (\d+)"
PAINT_MS, QUEUED_MS = 15_000, 5_000
"""Far above what is meant to be reached (4 s and 0.25 s), because tests share their machine with others."""


def small(visit: Visit, prompt: str = "a fox", steps: int = 4) -> None:
    """Ask for one small picture and wait for it."""
    visit.prompt(prompt)
    visit.number("steps", steps)
    visit.number("width", 64)
    visit.number("height", 64)
    visit.generate()
    visit.wait_until_done()


def long(visit: Visit, prompt: str = "a long run") -> None:
    """Begin something that takes seconds."""
    visit.prompt(prompt)
    for control, value in LONG.items():
        visit.number(control, value)
    visit.generate()


def test_a_picture_appears_with_its_text(visit: Visit):
    small(visit, HOSTILE)
    visit.page.wait_for_selector("#txt2img_gallery img")
    infotext = visit.text("#html_info_txt2img")
    assert HOSTILE in infotext
    assert re.search(SEED, infotext)
    visit.says("#html_log_txt2img", "Time taken")
    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator("#html_info_txt2img :is(img, b)").count() == 0


def test_progress_and_preview_are_shown_while_it_runs(visit: Visit):
    long(visit)
    visit.page.wait_for_selector("#txt2img_live_preview img:not([hidden])")
    assert re.search(r"^\d+%.*step \d+/150, batch \d/8", visit.text("#txt2img_progress"))
    assert re.match(r"\[\d+%", visit.page.title())
    width = visit.page.evaluate("document.querySelector('.progress-bar').getBoundingClientRect().width")
    assert width > 0


def test_interrupting_keeps_what_is_there(visit: Visit):
    long(visit)
    visit.page.wait_for_selector("#txt2img_live_preview img:not([hidden])")
    visit.page.click("#txt2img_interrupt")
    visit.wait_until_done()
    visit.says("#html_log_txt2img", "Interrupted")
    visit.page.wait_for_selector("#txt2img_gallery img")
    visit.page.locator("#txt2img_interrupt").wait_for(state="hidden")
    visit.page.wait_for_function("document.title === 'Stable Diffusion'")


def test_skipping_ends_one_batch(visit: Visit):
    long(visit)
    visit.page.wait_for_function("/batch 1/.test(document.querySelector('#txt2img_progress').textContent)")
    visit.page.click("#txt2img_skip")
    visit.page.wait_for_function("/batch [2-8]/.test(document.querySelector('#txt2img_progress').textContent)")


def test_a_reload_finds_the_running_job_and_its_result(visit: Visit):
    long(visit, "before the reload")
    visit.page.wait_for_selector("#txt2img_live_preview img:not([hidden])")
    job = visit.api("internal/jobs")["jobs"][-1]["id"]
    visit.reload()
    visit.page.wait_for_selector("#txt2img_generate_box[data-running]", timeout=20_000)
    assert visit.api("internal/jobs")["jobs"][-1]["id"] == job
    visit.page.click("#txt2img_interrupt")
    visit.wait_until_done()
    visit.says("#html_info_txt2img", "before the reload")
    visit.reload()
    visit.page.wait_for_selector("#txt2img_restore_progress[data-useful]")
    visit.page.click("#txt2img_restore_progress")
    visit.page.wait_for_selector("#txt2img_gallery img")
    visit.says("#html_info_txt2img", "before the reload")


def test_a_second_job_waits_and_runs(visit: Visit):
    long(visit, "the first")
    visit.prompt("the second")
    visit.number("batch_count", 1)
    visit.page.click("#txt2img_generate")
    visit.page.wait_for_function("/1 more waiting/.test(document.querySelector('#txt2img_progress').textContent)")
    visit.page.click("#txt2img_interrupt")
    visit.page.wait_for_function("/the second/.test(document.querySelector('#html_info_txt2img').textContent)")


def test_a_lost_connection_is_found_again(visit: Visit):
    long(visit)
    visit.page.wait_for_selector("#txt2img_live_preview img:not([hidden])")
    visit.page.context.set_offline(True)
    visit.page.wait_for_timeout(1500)
    visit.page.context.set_offline(False)
    visit.page.click("#txt2img_interrupt")
    visit.wait_until_done()
    visit.problems.clear()  # a browser without a network says so


def test_keys_generate_and_interrupt(visit: Visit):
    visit.prompt("with keys")
    for control, value in LONG.items():
        visit.number(control, value)
    prompt = visit.page.locator("#txt2img_prompt textarea")
    prompt.press("Control+Enter")
    visit.page.wait_for_selector("#txt2img_generate_box[data-running]")
    assert prompt.input_value() == "with keys"
    visit.page.keyboard.press("Escape")
    visit.wait_until_done()


def test_keys_weigh_words(visit: Visit):
    prompt = visit.page.locator("#txt2img_prompt textarea")
    prompt.fill("a red fox")
    prompt.evaluate("field => field.setSelectionRange(3, 3)")
    prompt.press("Control+ArrowUp")
    assert prompt.input_value() == "a (red:1.1) fox"
    prompt.press("Control+ArrowUp")
    prompt.press("Control+ArrowDown")
    prompt.press("Control+ArrowDown")
    assert prompt.input_value() == "a red fox"


WEIGHTS = [
    ("a red fox", 2, 5, 1, "a (red:1.1) fox"),
    ("a red fox", 2, 6, 1, "a (red:1.1) fox"),
    ("a (red:1.1) fox", 4, 4, -1, "a red fox"),
    ("a (red:1.15) fox", 4, 4, 1, "a (red:1.25) fox"),
    ("a (red fox)", 5, 5, 1, "a (red fox:1.2)"),
    ("a ((red fox))", 5, 5, 1, "a (red fox:1.31)"),
    ("a [red]", 4, 4, 1, "a (red:1.01)"),
    ("<lora:ink:0.5>", 5, 5, 1, "<lora:ink:0.55>"),
    ("<lora:ink>", 5, 5, -1, "<lora:ink:0.95>"),
    ("x <lora:ink:1:lbw=2> y", 8, 8, 1, "x <lora:ink:1.05:lbw=2> y"),
    (r"\(red\)", 4, 4, 1, r"\((red:1.1)\)"),
    ("a red", 5, 5, 1, "a (red:1.1)"),
    (" ", 0, 0, 1, None),
]


MOVES = [("a, b, c", 0, 1, "b, a, c"), ("a, b, c", 6, -1, "a, c, b"), ("a, b", 0, -1, None), ("a, b", 4, 1, None)]
RUN_ALL = """async ([name, cases]) => {
    const { [name]: run } = await import('./internal/ui/assets/weights.js');
    return cases.map((given) => run(...given)?.text ?? null);
}"""


def test_every_way_to_change_a_prompt(visit: Visit):
    made = visit.page.evaluate(RUN_ALL, ["adjust", [list(case[:4]) for case in WEIGHTS]])
    assert made == [wanted for *_, wanted in WEIGHTS]
    moved = visit.page.evaluate(RUN_ALL, ["moveItems", [[text, at, at, way] for text, at, way, _ in MOVES]])
    assert moved == [wanted for *_, wanted in MOVES]


def test_composing_keys_are_left_alone(visit: Visit):
    prompt = visit.page.locator("#txt2img_prompt textarea")
    prompt.fill("日本")
    prompt.evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true}))"
    )
    visit.page.wait_for_timeout(500)
    assert visit.page.locator("#txt2img_generate_box[data-running]").count() == 0


def test_tokens_are_counted_after_typing(visit: Visit):
    visit.prompt("a red circle")
    visit.page.wait_for_function("document.querySelector('#txt2img_token_counter .count').textContent === '3/75'")


def test_a_mistake_is_explained(visit: Visit):
    visit.prompt("AND ".join(["word "] * 100))
    visit.page.click("#txt2img_generate")
    visit.page.wait_for_selector("#html_log_txt2img .error")
    visit.says("#html_log_txt2img", "AND")
    assert "Traceback" not in visit.page.content()
    assert visit.page.locator("#txt2img_generate").is_enabled()


def choose(visit: Visit, selector: Any, name: str) -> None:
    """Open a selector until it offers a name, which takes a moment after a refresh, and take it."""
    option = visit.page.get_by_role("option", name=name)
    for _ in range(60):
        selector.click()
        visit.page.wait_for_timeout(500)
        if option.count():
            break
        selector.blur()
    option.click()
    visit.page.wait_for_timeout(500)


def test_checkpoints_are_chosen_and_a_broken_one_is_explained(visit: Visit, data: Path):
    broken = data / "models" / "Stable-diffusion" / "<img src=x onerror=window.hacked=1>.safetensors"
    broken.write_bytes(b"not a checkpoint")
    visit.page.click("#refresh_sd_model_checkpoint")
    selector = visit.page.locator("#setting_sd_model_checkpoint input")
    try:
        choose(visit, selector, "<img")
        visit.prompt("with a broken checkpoint")
        visit.page.click("#txt2img_generate")
        visit.page.wait_for_selector("#html_log_txt2img .error")
        visit.says("#html_log_txt2img", "safetensors")
        assert visit.page.locator("#txt2img_generate_box[data-running]").count() == 0
        assert visit.page.evaluate("window.hacked") is None
        visit.reload()
        visit.page.wait_for_function(
            "document.querySelector('#setting_sd_model_checkpoint input')?.value.startsWith('<img')"
        )
    finally:
        choose(visit, selector, "toy")
        broken.unlink()
    small(visit)
    visit.says("#html_info_txt2img", "Model: toy")


def test_seed_is_reused_and_drawn_again(visit: Visit):
    small(visit)
    seed = re.search(SEED, visit.text("#html_info_txt2img"))
    assert seed is not None
    visit.page.click("#txt2img_reuse_seed")
    visit.page.wait_for_function(f"document.querySelector('#txt2img_seed input').value === '{seed[1]}'")
    visit.page.click("#txt2img_random_seed")
    visit.page.wait_for_function("document.querySelector('#txt2img_seed input').value === '-1'")


def test_size_is_swapped(visit: Visit):
    visit.number("width", 640)
    visit.page.click("#txt2img_res_switch_btn")
    visit.shows(height=640)
    visit.shows(width=512)


def test_a_parameters_text_is_applied(visit: Visit):
    visit.prompt(
        "an owl\nNegative prompt: day\nSteps: 9, Sampler: Euler, CFG scale: 3.5, Seed: 5, Size: 128x64, Clip skip: 2"
    )
    visit.page.click("#paste")
    visit.holds("#txt2img_prompt textarea", "an owl")
    visit.holds("#txt2img_neg_prompt textarea", "day")
    visit.shows(steps=9, cfg_scale=3.5, width=128)
    visit.holds("#txt2img_sampling input", "Euler")
    visit.page.locator("#txt2img_override_settings", has_text="Clip skip: 2").wait_for()


def test_an_empty_prompt_pastes_the_last_run(visit: Visit):
    small(visit, "remember me", steps=7)
    visit.prompt("")
    visit.number("steps", 3)
    visit.page.click("#paste")
    visit.holds("#txt2img_prompt textarea", "remember me")
    visit.shows(steps=7)


def test_a_picture_is_read_and_sent_to_txt2img(visit: Visit, tmp_path: Path):
    small(visit, HOSTILE, steps=6)
    address = visit.page.locator("#txt2img_gallery img").first.get_attribute("src")
    picture = tmp_path / "picture.png"
    picture.write_bytes(visit.page.request.get(address).body())
    visit.reload()
    visit.tab("PNG Info")
    visit.page.set_input_files("#pnginfo_image input[type=file]", picture)
    visit.says("#html_pnginfo", HOSTILE)
    assert visit.page.evaluate("window.hacked") is None
    visit.page.get_by_role("button", name="Send to txt2img").click()
    visit.holds("#txt2img_prompt textarea", HOSTILE)
    visit.page.locator("#txt2img_generate").wait_for(state="visible")
    visit.shows(steps=6, width=64)


def test_settings_are_saved(visit: Visit):
    visit.tab("Settings")
    visit.page.fill("#settings_search", "jpeg quality")
    field = visit.page.locator("#setting_jpeg_quality input[type=number]")
    assert field.is_visible()
    assert visit.page.locator("#setting_samples_save").is_visible() is False
    field.fill("66")
    visit.page.click("#settings_submit")
    visit.page.wait_for_function("/1 setting changed/.test(document.querySelector('.settings-status').textContent)")
    visit.reload()
    visit.tab("Settings")
    field.wait_for()
    assert field.input_value() == "66"
    field.fill("1000")
    visit.page.click("#settings_submit")
    visit.page.wait_for_selector("#setting_jpeg_quality .problem:not([hidden])")
    visit.says("#setting_jpeg_quality .problem", "100")
    assert visit.api("internal/ui/settings")["sections"][0]["id"] == "saving-images"


def test_queue_lists_and_cancels(visit: Visit):
    long(visit, "runs")
    visit.page.click("#txt2img_generate")
    visit.page.wait_for_function("/1 more waiting/.test(document.querySelector('#txt2img_progress').textContent)")
    visit.tab("Queue")
    waiting = visit.page.locator(".queue-line.state-queued")
    waiting.wait_for()
    assert "place 1" in waiting.inner_text()
    waiting.get_by_role("button", name="Cancel").click()
    visit.page.wait_for_selector(".queue-ended .state-not-run")
    visit.page.locator(".queue-line.state-running").get_by_role("button", name="Interrupt").click()
    visit.page.wait_for_selector(".queue-now .note")
    ended = visit.page.locator(".queue-ended .state-interrupted").first
    ended.get_by_role("button", name="Show").click()
    visit.page.wait_for_function("/^runs/.test(document.querySelector('#html_info_txt2img').innerText.trim())")


def test_page_is_light(visit: Visit):
    assert visit.page.evaluate("document.querySelectorAll('*').length") <= 2000
    assert visit.page.evaluate("performance.getEntriesByType('paint').at(-1).startTime") < PAINT_MS


def test_queueing_is_quick(visit: Visit):
    small(visit)
    times = visit.page.evaluate(
        """async () => {
            const box = document.querySelector('#txt2img_generate_box');
            const began = performance.now();
            const running = new Promise((seen) => {
                new MutationObserver(() => box.hasAttribute('data-running') && seen()).observe(box, { attributes: true });
            });
            document.querySelector('#txt2img_generate').click();
            await running;
            return performance.now() - began;
        }"""
    )
    visit.wait_until_done()
    assert times < QUEUED_MS


def test_colours_follow_the_address(visit: Visit):
    for theme in ("dark", "light"):
        visit.open(f"?__theme={theme}")
        assert visit.page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")


def test_narrow_screens_need_no_scrolling_sideways(visit: Visit):
    visit.page.set_viewport_size({"width": 400, "height": 800})
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400
