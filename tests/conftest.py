"""Fixtures shared by all tests."""

import asyncio
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how near the replayed recordings came."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    reached = [value for report in reports for name, value in report.user_properties if name == "picture_db"]
    if reached:
        equal = sum(value == float("inf") for value in reached)
        terminalreporter.write_line(
            f"recordings: {len(reached)} pictures, {equal} bit-equal, the others from {min(reached):.1f} dB up"
        )


def pytest_configure() -> None:
    """Let no library make an event loop by asking for the present one: nobody would close it."""
    asyncio.set_event_loop(None)
