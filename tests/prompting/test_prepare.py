"""One picture's prompts, from what was typed to what is encoded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import LimitExceeded
from modules.prompting.limits import PromptLimits
from modules.prompting.prepare import PreparedPart, counted_texts, prepare
from modules.prompting.styles import Style


def test_the_order_of_processing():
    got = prepare(
        "a [cat:dog:2]<lora:x:0.5> AND sky :0.5 # note",
        "bad AND <lora:y> [u|v]",
        styles=[Style("s", "art of {prompt}", "blurry")],
        steps=4,
    )
    assert got.prompt == "art of a [cat:dog:2]<lora:x:0.5> AND sky :0.5 \n"
    assert [tag.target for tag in got.tags] == ["x"]
    assert got.parts == (
        PreparedPart(weight=1.0, timeline=((2, "art of a cat"), (4, "art of a dog"))),
        PreparedPart(weight=0.5, timeline=((4, " sky"),)),
    )
    assert got.negative_prompt == "bad AND <lora:y> [u|v], blurry"
    assert got.negative_timeline[1] == (2, "bad AND <lora:y> v, blurry")


def test_control_characters_and_half_pairs_are_removed():
    got = prepare("a\x00b\x1b\tc\n\ud800é\x85", "\x07x", steps=1)
    assert got.prompt == "ab\tc\né"
    assert got.negative_prompt == "x"


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a" * 50_001, "characters"),
        ("a AND " * 5000, "AND"),
        ("[a|b]" * 9000, "schedules"),
        ("[a:" * 5000 + "b" + ":1]" * 5000, "schedules"),
        ("<a:b>" * 65, "tags"),
        ("[a:b:1] AND " * 63 + "[a:b:1]" * 200, "schedules"),
    ],
)
def test_limits_are_refused_by_name(prompt: str, named: str):
    with pytest.raises(LimitExceeded, match=named) as caught:
        prepare(prompt, steps=20)
    assert caught.value.field == "prompt"


def test_limits_of_the_negative_prompt_and_styles():
    with pytest.raises(LimitExceeded, match="negative_prompt"):
        prepare("", "[a|b]" * 257, steps=20)
    with pytest.raises(LimitExceeded, match="styles"):
        prepare("", styles=[Style("s")] * 257, steps=20)
    assert len(prepare("a AND " * 99, steps=20, limits=PromptLimits(parts=100)).parts) == 100


def test_exactly_at_the_limit_is_accepted():
    assert len(prepare("AND ".join(["a "] * 64), steps=1).parts) == 64
    assert prepare("[a|b]" * 256, "a" * 50_000, steps=2).parts[0].timeline[1] == (2, "b" * 256)


def test_hires_prompts_use_the_hires_clock():
    got = prepare("[a:b:1.5]", steps=20, hires_steps=10)
    assert got.parts[0].timeline == ((5, "a"), (10, "b"))


def test_the_counter_sees_every_part_at_every_time():
    assert counted_texts("a [b|c]<lora:x> AND d # e", steps=20) == ("a b", "a c", " d")
    assert counted_texts("a AND b<lora:x>", steps=20, positive=False) == ("a AND b",)


@settings(deadline=None, database=None, max_examples=150)
@given(st.text() | st.text(alphabet="ab[]():|\\1. AND<>#\n"), st.integers(1, 20))
def test_any_text_gives_at_least_one_part(text: str, steps: int):
    got = prepare(text, text, steps=steps)
    assert got.parts
    assert all(part.timeline[-1][0] == steps for part in got.parts)
    assert prepare(got.prompt, got.negative_prompt, steps=steps) == got  # finished texts are left as they are
