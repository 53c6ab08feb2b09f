"""The tab Extensions in a real browser: what runs, what does not and why, and what extensions bring to the page."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser_house import Visit, visiting
from tests.extending.extending_house import make_extension

pytestmark = pytest.mark.browser

GOOD = """
from dataclasses import dataclass, replace
from fastapi import APIRouter
from modules.domain.param import param
from modules.extending.script import BOTH
from modules.hooks.dispatch import Handler
from modules.hooks.points import AfterDecode

@dataclass(frozen=True)
class Params:
    enabled: bool = param(False, label="Enable")
    red: int = param(200, label="Red", infotext="Tint red", ge=0, le=255, slider=(0, 255), step=1)

class Tint:
    id, label, tabs, Params = "tint", "Tint the picture", BOTH, Params

    def hooks(self, params):
        def tint(payload):
            table = [params.red] * 256 + [0] * 512
            return replace(payload, image=payload.image.point(table))
        return [Handler(name="tint", hook=AfterDecode, call=tint)]

@dataclass(frozen=True)
class Settings:
    good_strength: float = param(0.5, label="Strength of the good one", ge=0, le=1, slider=(0, 1), help="How strong.")

def build():
    import gradio as gr
    gr.Markdown("Hello from an extension", elem_id="good_words")

def broken():
    raise ValueError("this tab is broken")

def register(registry):
    registry.script(Tint())
    registry.tab("good", "Good", build)
    registry.tab("broken", "Broken", broken)
    registry.settings_page("good", "The good one", Settings)
    router = APIRouter()
    router.add_api_route("/good/hello", lambda: {"hello": "world"}, methods=["GET"])
    registry.routes(router)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    extensions = made / "extensions"
    make_extension(extensions, "good", {
        "webui_extension.py": GOOD, "style.css": "#good_words { color: rgb(1, 2, 3) }",
        "javascript/a.js": "window.fromExtension = ['plain']; ", "javascript/b.mjs": "window.fromExtension.push('module');",
    })  # fmt: skip
    make_extension(extensions, "<img src=x onerror=alert(1)>", {"webui_extension.py": "raise ValueError('<b>no</b>')"})
    make_extension(extensions, "needs", {"metadata.ini": "[Extension]\nRequires = nobody\n"})
    return made


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--skip-install",)


@pytest.fixture(scope="module")
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """One page for all of these, because what they do to it does not disturb the others."""
    with visiting(browser, address, width=1400) as page:
        yield page


def test_the_tab_lists_what_runs_and_why_the_others_do_not(visit: Visit) -> None:
    visit.tab("Extensions")
    rows = visit.page.locator("#extensions tbody tr")
    rows.nth(3).wait_for()
    first, *told = [row.inner_text() for row in rows.all()]
    assert first.split() == ["detail", "built-in"]
    assert "<img src=x onerror=alert(1)>" in told[0]
    assert "ValueError: <b>no</b>" in told[0]
    assert "good" in told[1]
    assert "It needs nobody, which is not installed." in told[2]
    if picture := os.environ.get("WEBUI_SCREENSHOTS"):
        visit.page.screenshot(path=f"{picture}/extensions.png")
    for label, element in (
        ("Available", "#extensions_index_url"),
        ("Install from URL", "#install_url"),
        ("Backup/Restore", "#config_state_save"),
    ):
        visit.page.get_by_role("tab", name=label).click()
        visit.page.locator(element).wait_for()
        if picture:
            visit.page.screenshot(path=f"{picture}/extensions_{label.split('/')[0]}.png")
    assert visit.problems == []


def test_a_bad_address_is_refused_in_words(visit: Visit) -> None:
    visit.tab("Extensions")
    visit.page.get_by_role("tab", name="Install from URL").click()
    visit.page.fill("#install_url", "ext::sh -c true")
    visit.page.click("#install_extension_button")
    problem = visit.page.locator("#extensions_install .error")
    problem.wait_for()
    assert "begins with https://" in problem.inner_text()
    visit.problems[:] = [one for one in visit.problems if "422" not in one]
    assert visit.problems == []


def test_what_an_extension_brings_is_in_the_page(visit: Visit) -> None:
    page: Any = visit.page
    assert page.evaluate("window.fromExtension") == ["plain", "module"]
    visit.tab("Good")
    words = page.locator("#good_words")
    words.wait_for()
    assert words.evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"
    visit.tab("Broken")
    page.get_by_text("this tab is broken").wait_for()
    assert page.evaluate("fetch('good/hello').then(answer => answer.json())") == {"hello": "world"}
    visit.tab("Settings")
    page.get_by_text("Strength of the good one").first.wait_for()
    assert visit.problems == []


def test_its_script_changes_the_picture(visit: Visit, data: Path) -> None:
    page: Any = visit.page
    visit.tab("txt2img")
    page.locator("#script_txt2img_tint-checkbox input").check()
    page.fill("#txt2img_steps input[type=number]", "2")
    page.fill("#txt2img_width input[type=number]", "64")
    page.fill("#txt2img_height input[type=number]", "64")
    page.fill("#txt2img_prompt textarea", "anything")
    page.click("#txt2img_generate")
    page.locator("#html_info_txt2img").get_by_text("Tint red: 200").wait_for()
    from PIL import Image

    (saved,) = (data / "outputs").rglob("*.png")
    assert Image.open(saved).convert("RGB").getcolors() == [(64 * 64, (200, 0, 0))]
    assert visit.problems == []


def test_a_choice_is_applied_by_a_restart(visit: Visit) -> None:
    page: Any = visit.page
    visit.tab("Extensions")
    page.get_by_role("tab", name="Installed").click()
    page.locator("#extensions input[name=enable_good]").uncheck()
    page.evaluate("window.before = true")
    with visit.restarted():
        page.click("#extensions_apply")
        page.wait_for_function("window.before === undefined", timeout=90_000)
        page.wait_for_selector("#txt2img_generate", timeout=90_000)
    visit.tab("Extensions")
    page.get_by_text("It is switched off.").wait_for()
    assert page.locator("#good_words").count() == 0
    assert page.evaluate("window.fromExtension") is None
