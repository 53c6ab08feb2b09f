"""A start that never became ready is noticed by the next one."""

from pathlib import Path

import pytest

from modules.extending.safe_mode import StartWatch


def test_only_a_start_that_was_cut_off_is_noticed(tmp_path: Path) -> None:
    watch = StartWatch(path=tmp_path / "cache" / "start.json")
    assert watch.failed() == ()
    watch.begin(["a", "b"])
    assert StartWatch(path=watch.path).failed() == ("a", "b")
    watch.ready()
    assert watch.failed() == ()


def test_without_extensions_there_is_nothing_to_watch(tmp_path: Path) -> None:
    watch = StartWatch(path=tmp_path / "start.json")
    watch.begin(["a"])
    watch.begin([])
    assert watch.failed() == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"extensions": 3}', "\0"])
def test_a_broken_mark_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "start.json"
    path.write_text(text)
    assert StartWatch(path=path).failed() == ()
