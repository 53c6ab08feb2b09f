"""Styles are changed in the file that holds them, and nothing else in it is lost."""

from pathlib import Path

import pytest

from modules.domain.errors import InvalidRequest, LimitExceeded, StorageFault, UnknownName
from modules.prompting.style_book import StyleBook
from modules.prompting.styles import Style

HEAD = "name,prompt,negative_prompt\n"


def test_a_new_style_goes_to_the_first_file(tmp_path: Path):
    book = StyleBook([tmp_path / "new" / "styles.csv"])
    book.save(Style("ink", "{prompt}, in ink", 'a "b", c'))
    assert book.styles() == (Style("ink", "{prompt}, in ink", 'a "b", c'),)
    assert not (tmp_path / "new" / "styles.csv.bak").exists()


def test_a_style_is_changed_where_it_is_kept(tmp_path: Path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(HEAD + "one,1,\n", encoding="utf-8")
    second.write_text(HEAD + "# mine,,\ntwo,2,\nthree,3,\n", encoding="utf-8")
    book = StyleBook([tmp_path / "*.csv"])
    book.save(Style("two", "changed"))
    book.delete("three")
    assert [(style.name, style.prompt) for style in book.styles()] == [("one", "1"), ("two", "changed")]
    assert first.read_text(encoding="utf-8") == HEAD + "one,1,\n"
    assert "# mine" in second.read_text(encoding="utf-8")
    assert "three" in (tmp_path / "b.csv.bak").read_text(encoding="utf-8")


def test_with_a_pattern_new_styles_have_a_file_of_their_own(tmp_path: Path):
    StyleBook([tmp_path / "*.csv"]).save(Style("ink"))
    assert (tmp_path / "styles.csv").is_file()


@pytest.mark.parametrize("name", ["", " ink", "# ink", "a\nb"])
def test_names_that_a_file_cannot_hold_are_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidRequest):
        StyleBook([tmp_path / "styles.csv"]).save(Style(name, "x"))


def test_too_long_texts_are_refused(tmp_path: Path):
    with pytest.raises(LimitExceeded):
        StyleBook([tmp_path / "styles.csv"]).save(Style("ink", "x" * 50_001))


def test_a_file_with_unreadable_rows_is_left_alone(tmp_path: Path):
    path = tmp_path / "styles.csv"
    path.write_text("title,text\na,b\n", encoding="utf-8")
    with pytest.raises(StorageFault, match="not changed"):
        StyleBook([path]).save(Style("ink"))
    assert path.read_text(encoding="utf-8") == "title,text\na,b\n"


def test_only_a_known_style_can_be_deleted(tmp_path: Path):
    with pytest.raises(UnknownName):
        StyleBook([tmp_path / "styles.csv"]).delete("ink")
