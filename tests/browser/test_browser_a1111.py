"""Extensions for A1111 in a real browser: their tab, their page script, their controls in a run."""

import shutil
from pathlib import Path

import pytest

from tests.browser.browser_house import Visit

pytestmark = pytest.mark.browser
ZOO = Path(__file__).parents[1] / "compat" / "zoo"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for name in ("side-panel", "tell-mood", "flag-bearer", "seed-walk"):
        shutil.copytree(ZOO / name, made / "extensions" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--flag-colour", "blue")


def test_page_scripts_find_their_globals(visit: Visit):
    mark = visit.page.locator("#panel_mark")
    mark.wait_for()
    assert mark.text_content() == "prompt 2"
    assert visit.page.evaluate("document.querySelectorAll('#img2img_prompt textarea').length") == 1
    assert visit.page.evaluate("get_uiCurrentTabContent().id") == "tab_txt2img"
    visit.page.evaluate("switch_to_img2img()")
    visit.page.wait_for_function("get_uiCurrentTabContent()?.id === 'tab_img2img'")


def test_a_tab_of_an_extension_works(visit: Visit):
    visit.page.locator("#panel_mark").wait_for()
    visit.page.get_by_role("tab", name="Panel", exact=True).click()
    visit.page.locator("#panel_text textarea").fill("well done")
    visit.page.locator("#panel_go").click()
    visit.page.wait_for_function("document.querySelector('#panel_out textarea')?.value === 'well done!'")


def test_controls_of_a_script_change_a_run(visit: Visit):
    page = visit.page
    page.locator("#panel_mark").wait_for()
    page.locator("#txt2img_script_container").get_by_text("Tell Mood").click()
    page.locator("#script_txt2img_tell_mood_enabled input").check()
    page.locator("#txt2img_prompt textarea").fill("a red circle")
    page.locator("#txt2img_steps input[type=number]").first.fill("2")
    page.locator("#txt2img_generate").click()
    page.wait_for_function("document.querySelector('#html_info_txt2img')?.textContent.includes('Mood: calm')")
