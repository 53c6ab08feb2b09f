"""Prompt editing: nesting, literal fallback, size of the result."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.prompting.schedule import parse_schedule, timeline

quick = settings(deadline=None, database=None, max_examples=200)


@pytest.mark.parametrize(
    "text",
    [
        "[a|b:1.2] [c:d:2]",  # the bar belongs to no construct: everything is literal
        "a | [b:c:2]",
        "([a|b)]",
        "[a|(b]",
        "[(a|b)|c]",
        "[a:b:2] \\",
        "[a:b:c:2]",
        "[a:b:x]",
        "[a:b:1 2]",
        "[a:(b:2]",
        "[(a:b:c):d:2]",
        "[a:b:1.2.3]",
    ],
)
def test_malformed_constructs_leave_the_prompt_as_it_is(text: str):
    assert timeline(text, 4) == ((4, text),)
    assert parse_schedule(text).constructs == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x [a:b:2] y", ((2, "[x a y"), (4, "[x b y"))),
        ("[a:b:2]) x", ((2, "a) x"), (4, "b) x"))),
        ("[a\\:b:c:2]", ((2, "a\\:b"), (4, "c"))),
        ("[a\\|b|c]", ((1, "a\\|b"), (2, "c"), (3, "a\\|b"), (4, "c"))),
        ("[[a:b:1]:[c:d:3]:2]", ((1, "a"), (2, "b"), (3, "c"), (4, "d"))),
        ("[[a]:(b:1.2):2]", ((2, "[a]"), (4, "(b:1.2)"))),
        ("[a:b:1e0]", ((1, "a"), (4, "b"))),
        ("[a:b:9999999999e9999]", ((4, "a"),)),
        ("[a:b:-1e9999]", ((4, "b"),)),
    ],
)
def test_nesting_escapes_and_numbers(text: str, expected: tuple[tuple[int, str], ...]):
    assert timeline(text, 4) == expected


def test_the_hires_pass_goes_on_counting():
    assert timeline("a [b:.5] c", 10, 10) == ((10, "a b c"),)
    assert timeline("a [b:1.5] c", 10, 10) == ((5, "a  c"), (10, "a b c"))
    assert timeline("[a:b:13]", 10, 10) == ((3, "a"), (10, "b"))


def test_nested_alternation_gives_one_entry_a_step():
    text = "a"
    for _ in range(200):
        text = f"[{text}|{text[:40].replace('[', '').replace('|', '').replace(']', '')}]"
    entries = timeline(text, 500)
    assert [end for end, _ in entries] == list(range(1, 501))
    assert max(len(entry) for _, entry in entries) <= len(text)


@pytest.mark.parametrize("text", ["[a:" * 20_000 + "b" + ":1]" * 20_000, "[" + "a|" * 20_000 + "]", "[" * 20_000])
def test_depth_and_width_do_not_matter(text: str):
    assert len(timeline(text, 3)) <= 3


@quick
@given(st.text() | st.text(alphabet="ab[]():|\\1. "), st.integers(1, 30))
def test_never_raises_and_ends_rise_to_the_number_of_steps(text: str, steps: int):
    ends = [end for end, _ in timeline(text, steps)]
    assert ends == sorted(set(ends))
    assert ends[-1] == steps
    assert ends[0] >= 1


@quick
@given(st.recursive(st.sampled_from(["a", "b c", ""]), lambda inner: st.tuples(inner, inner, st.integers(1, 9))))
def test_nested_switches_show_what_a_direct_reading_shows(tree: object):
    def written(node: object) -> str:
        return f"[{written(node[0])}:{written(node[1])}:{node[2]}]" if isinstance(node, tuple) else str(node)

    def shown(node: object, step: int) -> str:
        return shown(node[step > node[2]], step) if isinstance(node, tuple) else str(node)

    entries = timeline(written(tree), 10)
    starts = [1, *(end + 1 for end, _ in entries)]
    for start, (end, text) in zip(starts, entries, strict=False):
        assert {shown(tree, step) for step in range(start, end + 1)} == {text}
