"""What browser tests share: one browser, one program and its data folder for each file, a fresh page for each test.

A file that needs models or extensions in the folder has its own `data`, one that starts the program with flags its own
`flags`, and one whose tests may share a page its own `visit`, with `visiting`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser_house import ARGUMENTS, Visit, browser_path, program, visiting


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser; without one, tests are skipped, or fail where they must run."""
    if browser_path() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program's data folder, as it is before the start."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    """Command line of the program."""
    return ()


@pytest.fixture(scope="module")
def address(browser: Any, data: Path, flags: tuple[str, ...]) -> Iterator[str]:
    """The address of the running program."""
    del browser  # Asked for so that nothing is started where no browser is installed.
    with program(data, *flags) as running:
        yield running


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """A page in a browser that has never been here."""
    with visiting(browser, address) as page:
        yield page
