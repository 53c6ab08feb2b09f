"""Readers for the values of axes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.domain.request import Size
from modules.extending import axis_values as values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", [1, 2, 3]), ("1-5", [1, 2, 3, 4, 5]), ("1-10 (+3)", [1, 4, 7, 10]), ("10-5 (-3)", [10, 7]),
        ("5-3", [5, 4, 3]), ("1-10 [4]", [1, 4, 7, 10]), ("1-10 [1]", [1]), ("-3--1", [-3, -2, -1]), ("-1", [-1]),
        ("1, 4-5 ,9,", [1, 4, 5, 9]), ("1\n2", [1, 2]),
    ],
)  # fmt: skip
def test_whole_numbers(text: str, expected: list[int]) -> None:
    found = values.integers(values.split_csv(text))
    assert found == expected
    assert all(isinstance(one, int) for one in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2.5", [1, 2.5]), ("3-7 (+4)", [3, 7]), ("0-1 (+0.1)", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        ("0-1 [5]", [0, 0.25, 0.5, 0.75, 1]), ("1-.5 (-0.25)", [1, 0.75, 0.5]), (".5-2", [0.5, 1.5]), ("1e-2", [0.01]),
    ],
)  # fmt: skip
def test_numbers(text: str, expected: list[float]) -> None:
    found = values.decimals(values.split_csv(text))
    assert found == pytest.approx(expected)
    assert all(isinstance(one, float) for one in found)


@pytest.mark.parametrize("text", ["x", "1.5", "1-5 (+0)", "1-999999999", "1-9 [99999999]", "9" * 400])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"whole number|step|more than"):
        values.integers([text])


@given(entries=st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))).map(str.strip), min_size=1))
def test_chosen_entries_are_found_again(entries: list[str]) -> None:
    if entries != [""]:
        assert values.split_csv(values.joined_csv(entries)) == entries


def test_other_values() -> None:
    assert values.split_csv('"a, b", c ,"say ""hi"""') == ["a, b", "c", 'say "hi"']
    assert values.switches(["True", "no"]) == [True, False]
    assert values.sizes(["64x128", "512 X 512"]) == [Size(width=64, height=128), Size(width=512, height=512)]
    assert values.orders(["a", "b"]) == [("a", "b"), ("b", "a")]
    for read, wrong in ((values.switches, "maybe"), (values.sizes, "64")):
        with pytest.raises(ValueError, match=wrong):
            read([wrong])
    with pytest.raises(ValueError, match="too many orders"):
        values.orders([str(number) for number in range(9)])
