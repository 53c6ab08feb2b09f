"""Fixtures shared by the tests of the pipeline."""

import pytest

from tests.pipeline.workshop import Studio, open_studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A pipeline on the toy family, for all tests of a file."""
    return open_studio(tmp_path_factory.mktemp("data"))
