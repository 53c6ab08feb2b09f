"""A flag that is said to work is used by somebody."""

import re
from dataclasses import fields

import pytest

from modules.cli import ROOT, LaunchConfig

PARSER = {"cli.py", "cli_flags.py"}
READ_BY_PARSER = {"gradio_auth_path"}
"""A file whose content goes into another field."""


def sources() -> dict[str, str]:
    paths = [ROOT / "webui.py", *(ROOT / "modules").rglob("*.py")]
    return {path.name: path.read_text(encoding="utf-8") for path in paths if path.name not in PARSER}


SOURCES = sources()


def is_used(field: str) -> bool:
    """Look for `config.field`, for a property of `LaunchConfig` that reads it, and for the installer's words."""
    flag = "--" + field.replace("_", "-")
    derived = re.search(rf"self\.{field}\b", (ROOT / "modules" / "cli.py").read_text(encoding="utf-8"))
    read = any(re.search(rf"\bconfig\.{field}\b", text) for text in SOURCES.values())
    return read or derived is not None or f'"{flag}"' in SOURCES["install.py"]


@pytest.mark.parametrize("field", sorted({item.name for item in fields(LaunchConfig)} - READ_BY_PARSER))
def test_every_field_is_used(field: str) -> None:
    assert is_used(field)


def test_a_field_that_nobody_uses_would_be_found() -> None:
    assert not is_used("ui_debug_mode")
