"""Styles: applying, taking them out again, and the CSV file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import LimitExceeded
from modules.prompting.styles import Style, apply_styles, extract_styles, format_styles, parse_styles, read_styles

OIL = Style("Oil", "oil painting, thick brush", "photo")
WRAP = Style("Wrap", "masterpiece of {prompt}, 4k", "worst {prompt} ever")


def test_styles_wrap_or_follow_the_prompt_in_order():
    assert apply_styles("a cat ", [OIL.prompt, WRAP.prompt]) == "masterpiece of a cat, oil painting, thick brush, 4k"
    assert apply_styles("", [OIL.prompt, "", " x "]) == "oil painting, thick brush, x"
    assert apply_styles("a", ["{prompt} {prompt}"]) == "a a"


def test_styles_that_double_the_prompt_again_and_again_are_refused_before_they_grow():
    with pytest.raises(LimitExceeded, match="prompt"):
        apply_styles("a", ["{prompt}{prompt}"] * 256)


def test_extracting_undoes_applying():
    styles = (OIL, WRAP, Style("Empty"))
    prompt = apply_styles("a cat", [OIL.prompt, WRAP.prompt])
    negative = apply_styles("blurry", [OIL.negative_prompt, WRAP.negative_prompt])
    assert extract_styles(prompt, negative, styles) == (("Oil", "Wrap"), "a cat", "blurry")
    assert extract_styles(prompt, "other", styles) == ((), prompt, "other")
    assert extract_styles("master", "", [Style("x", "mast{prompt}ster")]) == ((), "master", "")


@settings(deadline=None, database=None, max_examples=100)
@given(st.lists(st.builds(Style, st.text(min_size=1), st.text(), st.text()), unique_by=lambda style: style.name))
def test_the_csv_text_reads_back(styles: list[Style]):
    usable = [style for style in styles if not style.name.startswith(("#", " ")) and no_leading_blank(style)]
    assert list(parse_styles(format_styles(usable)).styles) == usable


def no_leading_blank(style: Style) -> bool:
    """Blanks after a comma are not part of a cell, unless the cell happens to be quoted."""
    return not any(cell.startswith(" ") for cell in (style.prompt, style.negative_prompt))


def test_old_header_comments_and_short_rows():
    table = parse_styles("\ufeffname,text\r\nA, x\r\n\r\n#B,y\r\n,z\r\nC\r\n")
    assert table.styles == (Style("A", "x"), Style("C"))
    assert parse_styles("foo,bar\n1,2\n").notes


def test_damaged_rows_are_skipped_with_a_note():
    table = parse_styles("name,prompt,negative_prompt\nA,a,\nB," + "x" * 200_000 + ",\nC,c,\n")
    assert [style.name for style in table.styles] == ["A", "C"]
    assert "line 3" in table.notes[0]


def test_binary_and_missing_files_never_stop_the_start(tmp_path: Path):
    assert read_styles(tmp_path / "none.csv").styles == ()
    (tmp_path / "bad.csv").write_bytes(bytes(range(256)) * 50)
    assert read_styles(tmp_path / "bad.csv").styles == ()
    assert read_styles(tmp_path).notes


def test_the_shared_styles_file(shared_dir: Path):
    table = read_styles(shared_dir / "golden" / "checkpoints" / "styles.csv")
    assert table.styles == (OIL, WRAP)
