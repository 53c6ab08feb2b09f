"""AND, extra-network tags and comments."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompting.comments import strip_comments
from modules.prompting.composition import SubPrompt, split_and
from modules.prompting.extra_networks import ExtraNetwork, parse_extra_networks, with_local_names

quick = settings(deadline=None, database=None, max_examples=150)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a :2", [SubPrompt("a", 2.0)]),
        ("a:1:2 AND b:-.5 ", [SubPrompt("a:1", 2.0), SubPrompt(" b", -0.5)]),
        ("(a:1.2)", [SubPrompt("(a:1.2)")]),
        ("a:" + "9" * 400, [SubPrompt("a:" + "9" * 400)]),
        ("SAND and ANDY", [SubPrompt("SAND and ANDY")]),
    ],
)
def test_and_splits_whole_words_and_reads_weights(text: str, expected: list[SubPrompt]):
    assert list(split_and(text)) == expected


def test_tags_are_cut_out_and_the_blanks_around_them_stay():
    text, tags = parse_extra_networks("a <lora:x:0.8> b <lyco:y:te=0.5:1:dyn=8>c")
    assert text == "a  b c"
    assert tags[0] == ExtraNetwork("lora", ("x", "0.8"))
    assert (tags[1].name, tags[1].target, tags[1].positional) == ("lyco", "y", ("y", "1"))
    assert dict(tags[1].named) == {"te": "0.5", "dyn": "8"}


@pytest.mark.parametrize("text", ["<a:>", "<lora:x", "< lora:x>", "<3 a>", "<:x>", "a > b < c"])
def test_what_is_no_tag_stays_text(text: str):
    assert parse_extra_networks(text) == (text, ())


def test_a_tag_reaches_to_the_first_closing_bracket():
    assert parse_extra_networks("<a:><b:c:d=e=f>")[1] == (ExtraNetwork("b", ("c", "d=e=f")),)
    assert parse_extra_networks("<a:<b:c>d")[0] == "d"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n# note\nb", "a\nb"), ("a # note\nb", "a \nb"), ("a", "a"), ("#x", "\n"), ("a#b#c", "a\n")],
)
def test_comments_end_with_their_line(text: str, expected: str):
    assert strip_comments(text) == expected


@quick
@given(st.text() | st.text(alphabet="<lora:a>=# \nAND:1"))
def test_never_raise_and_leave_nothing_behind(text: str):
    assert "#" not in strip_comments(text)
    kept, tags = parse_extra_networks(text)
    assert bool(tags) == (kept != text)
    assert len(split_and(text)) >= 1


def test_loras_get_the_names_they_have_here() -> None:
    here = {"0123456789ab": "mine", "ba9876543210": "yours"}
    prompt = "a <lora:ink:0.5> b <lyco:old> <lora:other:1> <lora:ink, red:1:2>"
    hashes = "ink: 0123456789ab, old: ba9876543210, other: 000000000000, ink red: 0123456789ab"
    assert (
        with_local_names(prompt, hashes, here.get) == "a <lora:mine:0.5> b <lyco:yours> <lora:other:1> <lora:mine:1:2>"
    )
    assert with_local_names(prompt, "", here.get) == prompt
    assert with_local_names(prompt, "nothing, :, ink", here.get) == prompt
