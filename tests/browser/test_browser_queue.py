"""The queue panel: what a person does with waiting and ended jobs, and what another window sees of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser_house import Visit, new_visit

pytestmark = pytest.mark.browser
WAITING = ".queue-now .state-queued"


def open_queue(browser: Any, address: str) -> Visit:
    """Open the panel in a browser that has never been here."""
    visit = new_visit(browser, address)
    visit.tab("Queue")
    visit.page.wait_for_selector(".queue-hold")
    return visit


def titles(visit: Visit, selector: str = WAITING) -> list[str]:
    return [line.inner_text() for line in visit.page.locator(f"{selector} .queue-title").all()]


def shows(visit: Visit, *expected: str, selector: str = WAITING) -> None:
    """Wait until these jobs are listed in this order."""
    visit.page.wait_for_function(
        "([selector, wanted]) => [...document.querySelectorAll(`${selector} .queue-title`)]"
        ".map((one) => one.textContent).join() === wanted",
        arg=[selector, ",".join(expected)],
    )


def press(visit: Visit, title: str, button: str, selector: str = WAITING) -> None:
    line = visit.page.locator(selector).filter(has_text=title).first
    line.get_by_role("button", name=button).click()


def submit(visit: Visit, title: str) -> None:
    body = {"kind": "txt2img", "prompt": title, "steps": 2, "width": 64, "height": 64, "seed": 1}
    status = visit.page.evaluate(
        "async (body) => (await fetch('api/v2/jobs', { method: 'POST', body: JSON.stringify(body),"
        " headers: { 'Content-Type': 'application/json' } })).status",
        body,
    )
    assert status == 202


def test_a_queue_is_held_ordered_and_seen_from_everywhere(browser: Any, address: str, tmp_path: Path) -> None:
    visit = open_queue(browser, address)
    visit.page.get_by_role("button", name="Pause").click()
    visit.page.wait_for_function("/paused/.test(document.querySelector('.queue-summary').textContent)")
    for title in ("one", "two", "three"):
        submit(visit, title)
    shows(visit, "one", "two", "three")
    press(visit, "three", "To the front")
    shows(visit, "three", "one", "two")
    press(visit, "one", "Later")
    shows(visit, "three", "two", "one")
    press(visit, "two", "Queue the same request once more")
    shows(visit, "three", "two", "one", "two")
    press(visit, "one", "Cancel")
    shows(visit, "three", "two", "two")

    visit.reload()
    visit.tab("Queue")
    shows(visit, "three", "two", "two")
    other = open_queue(browser, address)
    shows(other, "three", "two", "two")
    shows(other, "one", selector=".queue-ended .state-not-run")
    assert "paused" in other.text(".queue-summary")

    other.page.get_by_role("button", name="Resume").click()
    shows(visit, "two", "two", "three", selector=".queue-ended .state-finished")
    picture = visit.page.locator(".queue-ended .state-finished img").first
    picture.scroll_into_view_if_needed()
    visit.page.wait_for_function("document.querySelector('.queue-ended .state-finished img').naturalWidth === 64")
    press(other, "three", "Queue the same request once more", ".queue-ended .state-finished")
    shows(visit, "three", "two", "two", "three", selector=".queue-ended .state-finished")
    press(other, "one", "Take it out of this list", ".queue-ended .state-not-run")
    shows(visit, selector=".queue-ended .state-not-run")
    assert visit.problems == other.problems == []
