"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with recordings, manifests and specifications that lies beside the checkout."""
    path = Path(os.environ.get("WEBUI_SHARED_DIR", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip("the shared folder with recordings and manifests is not beside the checkout")
    return path
