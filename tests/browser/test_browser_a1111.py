"""Extensions for A1111 in a real browser: what page scripts find, a tab of theirs, their controls in a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser_house import Visit, visiting

pytestmark = pytest.mark.browser
ZOO = Path(__file__).parents[1] / "compat" / "zoo"
OBJECTS = {"opts", "activePromptTextarea", "gradio_config", "ignore_ids_for_localization", "localization", "re_emoji", "re_num"}  # fmt: skip
OPENED = {
    "img2img_scale_resolution_preview": "img2img_tabs_resize", "modelmerger_interp_description": "tab_modelmerger",
    "settings": "tab_settings", "settings_submit": "tab_settings", "settings_restart_gradio": "tab_settings",
    "setting_sd_vae": "tab_settings", "tab_settings": "tab_settings", "extras_image_batch": "mode_extras",
}  # fmt: skip
"""Element -> the tab in which it is made when that is first shown."""
ABSENT = {
    "img2img_enable_hr": "img2img has no hires pass, in A1111 neither",
    "txt2img_enable_hr": "since A1111 1.6 it is the box txt2img_hr-checkbox, which is there",
    "tab_ti": "training is a task of the command line and of the API",
}
CLASSES_ABSENT = {
    "dark": "only while the page is dark, as in A1111",
    "open": "only on accordions that are open", "options": "only while a list is open",
    "single-select": "what a list shows is an input since gradio 3.30",
    "interrogate-col": "descriptions of pictures have no column of their own",
    **dict.fromkeys(("preview", "grid-wrap", "thumbnail-item", "thumbnails"), "only while a gallery has pictures"),
    **dict.fromkeys(("extra-network-cards",), "made when the cards are first shown"),
    "gradio-markdown": "no such component unless an extension brings one", "styler": "only inside of groups",
}  # fmt: skip
"""Why a class is not there while nothing has been done yet."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for name in ("side-panel", "tell-mood", "flag-bearer", "seed-walk", "page-probe"):
        shutil.copytree(ZOO / name, made / "extensions" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--flag-colour", "blue")


WATCHING = """() => {
    const shown = (window.shownTabs = new Set());
    let clicked = false;
    const look = () => {
        const open = document.querySelector("#tabs > .tab-wrapper .selected");
        if (open) shown.add(open.textContent.trim());
        if (!clicked && window.clicksMeanwhile && document.documentElement?.dataset.mounting) {
            clicked = true;
            setTimeout(() => document.getElementById("tab_pnginfo-button").click(), 1);
        }
        requestAnimationFrame(look);
    };
    look();
}"""
"""Notes which tabs are seen, and opens one while those of page scripts are made."""


def surveyed(shared_dir: Path) -> dict[str, Any]:
    return json.loads((shared_dir / "spec" / "extension_api.json").read_text())["js"]


def ready(visit: Visit) -> Visit:
    """Wait until page scripts were called."""
    visit.page.wait_for_function("window.uiLoadedCallbacks?.done === true")
    return visit


def test_every_global_is_there(visit: Visit, shared_dir: Path):
    wanted = {name: "object" if name in OBJECTS else "function" for name in surveyed(shared_dir)["globals"]}
    found = ready(visit).page.evaluate("names => names.map((name) => [name, typeof window[name]])", list(wanted))
    assert dict(found) == wanted


def test_every_element_is_there_or_there_is_a_reason(visit: Visit, shared_dir: Path):
    names = [name for name, count in surveyed(shared_dir)["dom_ids"].items() if count]
    ids = {one.replace("{tab}", tab) for one in names for tab in ("txt2img", "img2img")}
    page = ready(visit).page
    missing = set(page.evaluate("ids => ids.filter((id) => !document.getElementById(id))", sorted(ids)))
    styles = {one for one in ids if "_edit_style_" in one}
    assert missing == {*OPENED, *ABSENT, *styles, "lightboxModal"} & ids
    for tab in ("txt2img", "img2img"):
        page.evaluate("tab => window.webui.editStyles(tab)", tab)
        page.wait_for_selector(f"#{tab}_edit_style_prompt > label > textarea", state="attached")
        page.keyboard.press("Escape")
    for element, where in OPENED.items():
        if where.startswith("tab_"):
            page.click(f"#{where}-button")
        else:
            page.click(f"#tab_{'extras' if where == 'mode_extras' else 'img2img'}-button")
            page.locator(f"#{where}").get_by_role("tab").nth(1).click()
        page.wait_for_selector(f"#{element}", state="attached")


def test_classes_of_old_pages_are_there(visit: Visit, shared_dir: Path):
    spec = surveyed(shared_dir)
    names = sorted({*spec["dom_classes"], *spec["css_classes"]})
    found = ready(visit).page.evaluate("names => names.filter((name) => !document.querySelector('.' + name))", names)
    assert set(found) <= set(CLASSES_ABSENT)
    assert visit.page.evaluate("document.querySelectorAll('.gradio-button').length") > 20


def test_page_scripts_are_called_when_everything_is_mounted(visit: Visit):
    page = ready(visit).page
    page.wait_for_function("probe.fromFolder !== null")
    assert page.evaluate("probe.loaded.length") == 11
    assert page.evaluate("probe.fromFolder") == "words of a folder"
    assert page.evaluate("probe.updates > 3 && probe.options === 1")
    page.wait_for_function("probe.after > 0")
    assert page.evaluate("[wait, seen.length, changed]") == ["mine", 0, 0]
    assert page.evaluate("get_uiCurrentTab().textContent.trim()") == "txt2img"
    page.click("#tab_pnginfo-button")
    page.wait_for_function("probe.tabs.at(-1) === 'PNG Info'")


def test_page_scripts_put_elements_into_the_application(visit: Visit):
    added = """() => {
        const mark = Object.assign(document.createElement("i"), { id: "mark" });
        gradioApp().appendChild(mark);
        const found = [gradioApp().getElementById("mark"), gradioApp().querySelector("#mark"), document.querySelector("gradio-app > #mark")];
        mark.remove();
        return found.every((one) => one === mark) && gradioApp().querySelectorAll("#txt2img_prompt textarea").length;
    }"""
    assert visit.page.evaluate(added) == 1


def test_what_is_opened_for_page_scripts_is_as_it_was(visit: Visit):
    page = ready(visit).page
    assert page.evaluate("document.querySelector('[data-mounting]')") is None
    assert page.evaluate("get_uiCurrentTabContent().id") == "tab_txt2img"
    assert not page.locator("#txt2img_hr-checkbox input").is_checked()
    assert not page.locator("#hires_prompt").is_visible()
    chosen = "document.querySelector('#mode_img2img [role=tablist] .selected').textContent.trim()"
    assert page.evaluate(chosen) == "img2img"
    page.evaluate("switch_to_img2img_tab(2)")
    page.wait_for_function(f"{chosen} === 'Inpaint'")
    assert page.locator("#inpaint_controls").is_visible()
    page.evaluate("switch_to_txt2img()")
    page.wait_for_function("get_uiCurrentTabContent()?.id === 'tab_txt2img'")


def test_nobody_sees_how_tabs_are_made(visit: Visit):
    visit.page.add_init_script(f"({WATCHING})()")
    visit.reload()
    assert ready(visit).page.evaluate("[...shownTabs]") == ["txt2img"]


def test_a_tab_that_is_chosen_while_tabs_are_made_stays(visit: Visit):
    visit.page.add_init_script(f"window.clicksMeanwhile = true; ({WATCHING})()")
    visit.reload()
    page = ready(visit).page
    assert page.evaluate("[...shownTabs]") == ["txt2img", "PNG Info"]
    assert page.evaluate("get_uiCurrentTabContent().id") == "tab_pnginfo"
    assert page.evaluate("probe.loaded.length") == 11


def test_tabs_without_room_are_made_too(browser: Any, address: str):
    with visiting(browser, address, width=420) as narrow:
        page = ready(narrow).page
        assert page.evaluate("probe.loaded.length") == 11
        assert page.locator("#tab_page_probe-button").is_visible()
        assert page.locator("#img2img_sketch").count() == 1


def test_globals_do_what_they_did(visit: Visit):
    page = ready(visit).page
    told = page.evaluate("""() => [
        switch_to_img2img(1, 2), pad2(7), formatTime(3700), randomId().slice(0, 5), create_submit_args([1, [2], 3, 4]),
        selected_gallery_index(), args_to_array('ab'), getTranslation(''), submit(0, 'x').length, re_num.test('1.5'),
        uiElementIsVisible(document), typeof isMobile(), opts.panel_rows, gradio_config.version.split('.').length,
    ]""")
    assert told == [
        [1, 2], "07", "01:01:40", "task(", [1, None, 3, 4], -1, ["a", "b"], None, 2, True, True, "boolean", 2, 3,
    ]  # fmt: skip
    assert page.get_attribute("#txt2img_generate_box", "data-running") == "script"
    page.evaluate("showSubmitButtons('txt2img', true)")
    assert page.get_attribute("#txt2img_generate_box", "data-running") is None
    page.evaluate("switch_to_txt2img()")
    page.evaluate("inputAccordionChecked('txt2img_probe', true)")
    page.locator("#txt2img_probe_drawn").wait_for()
    page.evaluate("""() => { const area = gradioApp().querySelector('#txt2img_prompt textarea');
        area.value = 'by a script'; updateInput(area); area.focus(); setRandomSeed('txt2img_seed'); }""")
    assert page.evaluate("activePromptTextarea.txt2img.value") == "by a script"
    page.evaluate("document.querySelector('#tabs > div:first-child > button:nth-child(2)').click()")
    page.wait_for_function("get_uiCurrentTabContent()?.id === 'tab_img2img'")
    page.evaluate("document.querySelector('#mode_img2img .tab-container[aria-hidden] button:nth-child(3)').click()")
    page.locator("#inpaint_controls").wait_for()


def test_a_task_is_followed_from_a_page_script(visit: Visit):
    page = ready(visit).page
    page.evaluate("""() => new Promise((done) => requestProgress('task(none)', gradioApp().getElementById('txt2img_gallery_container'),
        gradioApp().getElementById('txt2img_gallery'), done, () => { window.followed = document.querySelectorAll('div.progressDiv > div.progress').length; }, 0.2))""")  # fmt: skip
    assert page.evaluate("followed") == 3
    assert page.evaluate("document.querySelectorAll('#txt2img_gallery .livePreview').length") == 0


def test_page_scripts_find_their_globals(visit: Visit):
    mark = visit.page.locator("#panel_mark")
    mark.wait_for()
    assert mark.text_content() == "prompt 2"


def test_a_tab_of_an_extension_works(visit: Visit):
    ready(visit).page.get_by_role("tab", name="Panel", exact=True).click()
    visit.page.locator("#panel_text textarea").fill("well done")
    visit.page.locator("#panel_go").click()
    visit.page.wait_for_function("document.querySelector('#panel_out textarea')?.value === 'well done!'")


def test_a_hidden_button_is_pressed_by_a_script(visit: Visit):
    page = ready(visit).page
    page.evaluate("gradioApp().getElementById('probe_hidden').click()")
    page.wait_for_function("document.querySelector('#probe_out textarea')?.value === 'a?!'")


def test_controls_of_a_script_change_a_run(visit: Visit):
    page = ready(visit).page
    page.locator("#txt2img_script_container").get_by_text("Tell Mood").click()
    page.locator("#script_txt2img_tell_mood_enabled input").check()
    page.locator("#txt2img_prompt textarea").fill("a red circle")
    page.locator("#txt2img_steps input[type=number]").first.fill("2")
    page.locator("#txt2img_generate").click()
    page.wait_for_function("document.querySelector('#html_info_txt2img')?.textContent.includes('Mood: calm')")


def test_a_run_gets_what_is_drawn_and_the_state(visit: Visit, tmp_path: Path):
    from PIL import Image

    page = ready(visit).page
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "blue.png")
    page.locator("#txt2img_probe .label-wrap").click()
    assert page.locator("#txt2img_probe-checkbox input").is_checked()
    page.set_input_files("#txt2img_probe_drawn input[type=file]", tmp_path / "blue.png")
    page.wait_for_selector("#txt2img_probe_drawn canvas")
    page.wait_for_timeout(1000)
    page.locator("#txt2img_prompt textarea").fill("a red circle")
    page.locator("#txt2img_steps input[type=number]").first.fill("2")
    page.locator("#txt2img_generate").click()
    page.wait_for_function("document.querySelector('#html_info_txt2img')?.textContent.includes('Probe: ')")
    assert "(48, 64, 3) 0 dict" in page.text_content("#html_info_txt2img")


def test_page_scripts_say_more_about_words(visit: Visit) -> None:
    page = ready(visit).page
    page.evaluate("titles = {...titles, Generate: 'Fly the kite'}")
    page.evaluate("document.body.append(document.createElement('i'))")
    page.wait_for_function("[...document.querySelectorAll('button')].some((one) => one.title === 'Fly the kite')")
