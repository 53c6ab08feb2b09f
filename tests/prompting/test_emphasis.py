"""Attention brackets: what the recordings leave open, and properties."""

import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompting.emphasis import Fragment, parse_emphasis

GRAMMAR = st.text(alphabet="ab ()[]:|\\.1-+\nBREAK,é")
quick = settings(deadline=None, database=None, max_examples=200)


def weights(text: str) -> list[tuple[str, float]]:
    return [(part.text, part.weight) for part in parse_emphasis(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:nan)", [("a:nan", 1.1)]),
        ("(a:1e400)", [("a:1e400", 1.1)]),
        ("(a:" + "9" * 400 + ")", [("a:" + "9" * 400, 1.1)]),
        ("a:1.2.3)", [("a:1.2.3)", 1.0)]),
        ("(a:.)", [("a:.", 1.1)]),
        ("\\a", [("a", 1.0)]),
        ("([a)b]", [("a", 1.1 / 1.1), ("b", 1 / 1.1)]),
    ],
)
def test_odd_input_is_literal_or_weighs_what_it_covers(text: str, expected: list[tuple[str, float]]):
    got = weights(text)
    assert [part for part, _ in got] == [part for part, _ in expected]
    assert [weight for _, weight in got] == pytest.approx([weight for _, weight in expected])


def test_break_works_inside_brackets_and_keeps_the_weights_around_it():
    assert parse_emphasis("(a BREAK b:1.5) c") == (
        Fragment("a", 1.5),
        Fragment("", 1.0, is_break=True),
        Fragment("b", 1.5),
        Fragment(" c", 1.0),
    )


def test_mode_none_leaves_the_text_alone():
    assert parse_emphasis("(a:1.2) \\( BREAK", "None") == (Fragment("(a:1.2) \\( BREAK", 1.0),)
    assert parse_emphasis("(a:1.2)", "Ignore") == parse_emphasis("(a:1.2)", "No norm") == (Fragment("a", 1.2),)


def test_weights_stay_finite_however_deep_the_nesting():
    for text in ("(" * 5000 + "a", "(" * 200 + "a" + ":99999999999999999999)" * 200):
        assert all(math.isfinite(part.weight) for part in parse_emphasis(text))


@quick
@given(st.text() | GRAMMAR)
def test_never_raises_and_neighbours_differ(text: str):
    parts = parse_emphasis(text)
    assert parts
    for one, two in itertools.pairwise(parts):
        assert one.is_break or two.is_break or one.weight != two.weight


@quick
@given(st.text(alphabet="ab()[]\\: é,"))
def test_escaping_every_special_character_gives_the_text_back(text: str):
    assert parse_emphasis(re.sub(r"[()\[\]\\]", r"\\\g<0>", text)) == (Fragment(text, 1.0),)


@quick
@given(st.text(alphabet="ab ,é"), st.decimals(min_value=-9, max_value=9, places=3))
def test_a_number_is_the_weight_of_its_bracket(text: str, number: object):
    assert [part.weight for part in parse_emphasis(f"({text}:{number:f})") if part.text] == [float(str(number))] * bool(
        text
    )
