"""The parsers against what A1111 1.10.1 answered; every recorded entry must match exactly."""

import json
from pathlib import Path
from typing import Any

import pytest

from modules.prompting.composition import split_and
from modules.prompting.emphasis import parse_emphasis
from modules.prompting.schedule import timeline


@pytest.fixture(scope="module")
def internals(shared_dir: Path) -> Path:
    return shared_dir / "golden" / "internals"


def recorded(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_emphasis_matches_the_recordings(internals: Path):
    for text, expected in recorded(internals, "prompt_attention.json").items():
        got = [["BREAK", -1] if part.is_break else [part.text, part.weight] for part in parse_emphasis(text)]
        assert got == expected, text


def test_timelines_match_the_recordings(internals: Path):
    for key, expected in recorded(internals, "prompt_schedules.json").items():
        options, _, text = key.partition(" | ")
        values = dict(option.split("=") for option in options.split())
        hires = None if values["hires"] == "None" else int(values["hires"])
        got = timeline(text, int(values["steps"]), hires, old=values["old"] == "True")
        assert [list(entry) for entry in got] == expected, key


def test_compositions_match_the_recordings(internals: Path):
    for text, (indices, texts) in recorded(internals, "prompt_multicond.json").items():
        expected = [(texts[index], weight) for index, weight in indices]
        assert [(part.text, part.weight) for part in split_and(text)] == expected, text
