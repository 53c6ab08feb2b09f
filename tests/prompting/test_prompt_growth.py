"""No prompt takes more than linear time, and none at the limit more than a second."""

import gc
import time
from collections.abc import Callable, Iterator

import pytest

from modules.prompting.emphasis import parse_emphasis
from modules.prompting.limits import PromptLimits
from modules.prompting.prepare import prepare
from modules.prompting.wildcards import Wildcards, expand_wildcards

ANY = 10**9
UNLIMITED = PromptLimits(characters=ANY, parts=ANY, schedules=ANY, extra_networks=ANY)

GENERATORS: dict[str, Callable[[int], str]] = {
    "open brackets": lambda n: "(" * n,
    "balanced brackets": lambda n: "(" * (n // 2) + ")" * (n // 2),
    "nested pieces": lambda n: "(a" * (n // 2),
    "square and round": lambda n: "([" * (n // 4) + "a" + ")]" * (n // 4),
    "numbers": lambda n: "(a:" + "1" * (n // 2) + " " * (n // 2) + "b",
    "blanks": lambda n: " " * n + "BREAK" + " " * n,
    "blanks before a number": lambda n: ":" + " " * n + ": 1" * 3,
    "colons": lambda n: "[" + ":" * n + "]",
    "open tags": lambda n: "<a:" * (n // 3),
    "nested switches": lambda n: "[a:" * (n // 7) + "b" + ":1]" * (n // 7),
    "nested alternation": lambda n: "[" * (n // 4) + "|a]" * (n // 4),
    "many alternations": lambda n: "[a|b]" * (n // 5),
    "wide alternation": lambda n: "[" + "a|" * (n // 2) + "]",
    "AND": lambda n: "a AND " * (n // 6),
    "BREAK": lambda n: "BREAK " * (n // 6),
    "backslashes": lambda n: "\\" * n,
    "comments": lambda n: "#\n" * (n // 2),
    "underscores": lambda n: "__a_" * (n // 4),
}


def work(text: str) -> None:
    prepare(text, text, steps=8, limits=UNLIMITED)
    parse_emphasis(text)
    expand_wildcards(text, Wildcards({}), 1, limit=ANY)


def seconds(text: str) -> float:
    """Processor time, best of several: other programs on the machine do not count, nor what they take of its caches."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        work(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.fixture(autouse=True)
def _own_heap_only() -> Iterator[None]:
    """Keep the collector from walking what all other tests left behind, which grows with them and not with the text."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", GENERATORS)
def test_time_grows_with_length_and_not_faster(name: str):
    times = [seconds(GENERATORS[name](n)) for n in (12_500, 25_000, 50_000)]
    assert times[2] < 1.0
    assert times[2] < max(2.5 * 2.5 * times[0], 0.05), times  # quadratic work would take 16 times as long
