"""What all tests of the compat room need."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_loops() -> None:
    """Parts of pages that tests build leave no event loops behind, as the program's page does not."""
    from modules.web.ui.loops import make_no_loops

    make_no_loops()
