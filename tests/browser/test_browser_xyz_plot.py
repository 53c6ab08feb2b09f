"""The controls of the X/Y/Z plot in a real page."""

from typing import Any

import pytest

from tests.browser.browser_house import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HERE = "#script_txt2img_xyz_plot"


def choose(visit: Visit, selector: str, entry: str) -> None:
    """Choose an entry of a drop-down."""
    visit.page.click(f"{selector} input")
    visit.page.get_by_role("option", name=entry, exact=True).click()
    visit.page.wait_for_selector("[role=option]", state="detached")


def picked(visit: Visit, axis: str) -> Any:
    """Return the entries that are chosen for an axis."""
    visit.page.wait_for_selector(f"{HERE}_{axis}_values_dropdown .token")
    return [one.strip() for one in visit.page.locator(f"{HERE}_{axis}_values_dropdown .token").all_inner_texts()]


def test_axes_are_chosen_swapped_run_and_pasted(visit: Visit) -> None:
    page = visit.page
    visit.prompt("a red circle")
    for control, value in (("steps", 2), ("width", 64), ("height", 64), ("seed", 5)):
        visit.number(control, value)
    choose(visit, "#tab_txt2img #script_list", "X/Y/Z plot")
    choose(visit, f"{HERE}_x_type", "CFG Scale")
    page.fill(f"{HERE}_x_values textarea", "3-7 (+4)")
    assert not page.is_visible(f"{HERE}_y_values")
    choose(visit, f"{HERE}_y_type", "RNG source")
    page.click(f"{HERE}_fill_y")
    assert [text.splitlines()[0] for text in picked(visit, "y")] == ["GPU", "CPU", "NV"]
    assert not page.is_visible(f"{HERE}_y_values")
    page.click(f"{HERE}_swap_xy")
    visit.holds(f"{HERE}_y_values textarea", "3-7 (+4)")
    assert [text.splitlines()[0] for text in picked(visit, "x")] == ["GPU", "CPU", "NV"]
    visit.generate()
    visit.wait_until_done()
    told = 'Script: X/Y/Z plot, X Type: RNG source, X Values: "GPU,CPU,NV", Y Type: CFG Scale, Y Values: 3-7 (+4)'
    visit.says("#html_info_txt2img", told)


def test_a_grid_is_pasted(visit: Visit) -> None:
    page = visit.page
    visit.prompt(
        "a blue square\nSteps: 2, Sampler: Euler, CFG scale: 3.0, Seed: 5, Size: 64x64, Script: X/Y/Z plot, "
        'X Type: RNG source, X Values: "GPU,NV", Y Type: Size, Y Values: 64x32'
    )
    page.click("#paste")
    visit.holds("#tab_txt2img #script_list input", "X/Y/Z plot")
    visit.holds(f"{HERE}_x_type input", "RNG source")
    assert [text.splitlines()[0] for text in picked(visit, "x")] == ["GPU", "NV"]
    visit.holds(f"{HERE}_y_values textarea", "64x32")
    visit.holds(f"{HERE}_z_type input", "Nothing")
    visit.prompt("plain\nSteps: 2, Sampler: Euler, CFG scale: 3.0, Seed: 5, Size: 64x64")
    page.click("#paste")
    visit.holds("#tab_txt2img #script_list input", "None")


def test_what_is_wrong_is_told(visit: Visit) -> None:
    page = visit.page
    visit.prompt("a red circle")
    choose(visit, "#tab_txt2img #script_list", "X/Y/Z plot")
    choose(visit, f"{HERE}_x_type", "Steps")
    page.fill(f"{HERE}_x_values textarea", "two")
    visit.generate()
    visit.wait_until_done()
    visit.says("#html_log_txt2img", "'two' is no whole number")
