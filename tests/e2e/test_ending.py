"""Ending and restarting the program over the API."""

import os
import time
from pathlib import Path

import pytest

from modules.cli import RESTART
from tests.e2e.process import Program, data_folder, program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there a restarted program is another process")

ARGV = ("--nowebui", "--api-server-stop", "--skip-load-model-at-start")


def test_it_is_started_again_with_the_same_flags(tmp_path: Path) -> None:
    with program(data_folder(tmp_path, "toy.safetensors"), *ARGV, "--log-startup") as made:
        first = made.api("/cmd-flags")
        assert made.ask("POST", "/sdapi/v1/server-restart", {}) == (200, b"")
        deadline = time.monotonic() + 60
        while made.told().count("start: set up services took") < 2:
            assert made.process.poll() is None, made.told()
            assert time.monotonic() < deadline, made.told()
            time.sleep(0.1)
        made.wait()
        assert made.api("/cmd-flags") == first
        assert "Traceback" not in made.told()


@pytest.mark.parametrize(("action", "said"), [("kill", b""), ("stop", b"Stopping.")])
def test_it_ends(tmp_path: Path, action: str, said: bytes) -> None:
    made = Program(data_folder(tmp_path, "toy.safetensors"), *ARGV)
    try:
        made.wait()
        assert made.ask("POST", f"/sdapi/v1/server-{action}", {}) == (200, said)
        assert made.process.wait(20) == 0 != RESTART
        assert "Traceback" not in made.told()
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait(10)
