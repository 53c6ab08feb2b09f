"""Time the parsers of texts that come from outside on hostile texts of growing length: twice as long, twice the time.

python -m benchmarks.load_parsers [--chars 12500] [--rounds 3]
"""

import gc
import time
from collections.abc import Callable, Mapping
from itertools import pairwise

from benchmarks.measure import Result, parser_of, show, significant

GOAL_RATIO, GOAL_S = 2.5, 1.0
_QUICK_S = 0.02
"""Below this the ratio of two times says nothing."""
PROMPTS: Mapping[str, Callable[[int], str]] = {
    "open brackets": lambda n: "(" * n,
    "balanced brackets": lambda n: "(" * (n // 2) + ")" * (n // 2),
    "mixed brackets": lambda n: "([" * (n // 4) + "a" + ")]" * (n // 4),
    "blanks": lambda n: " " * n,
    "blanks and a number": lambda n: "(a:" + " " * n + "1",
    "open tags": lambda n: "<a:" * (n // 3),
    "nested switches": lambda n: "[a:" * (n // 7) + "b" + ":1]" * (n // 7),
    "alternations": lambda n: "[a|b]" * (n // 5),
    "one wide alternation": lambda n: "[" + "a|" * (n // 2) + "]",
    "AND": lambda n: "a AND " * (n // 6),
    "BREAK": lambda n: "BREAK " * (n // 6),
    "backslashes": lambda n: "\\" * n,
}
INFOTEXTS: Mapping[str, Callable[[int], str]] = {
    "letters without a colon": lambda n: "a\nSteps: 1, " + "b" * n,
    "commas": lambda n: "a\nSteps: 1" + "," * n,
    "keys": lambda n: "a\nSteps: 1, " + "K: v, " * (n // 6),
    "open quotes": lambda n: 'a\nSteps: 1, K: "' + '\\"' * (n // 2),
    "lines": lambda n: "\n" * n + "Steps: 1, Sampler: Euler, Seed: 1",
}


def parse_prompt(text: str) -> None:
    """Read a text as a prompt."""
    from modules.prompting.emphasis import parse_emphasis
    from modules.prompting.limits import PromptLimits
    from modules.prompting.prepare import prepare

    most = 10**9
    prepare(text, text, steps=8, limits=PromptLimits(characters=most, parts=most, schedules=most, extra_networks=most))
    parse_emphasis(text)


def parse_parameters(text: str) -> None:
    """Read a text as the parameters of a picture."""
    from modules.imaging.infotext_parse import parse_infotext

    parse_infotext(text)


def grow(parse: Callable[[str], None], make: Callable[[int], str], chars: int, rounds: int) -> Result:
    """Time a parser on texts of one, two and four times a length."""
    seconds = [min(_seconds(parse, make(factor * chars)) for _ in range(rounds)) for factor in (1, 2, 4)]
    ratios = [b / a for a, b in pairwise(seconds) if b > _QUICK_S and a > 0]
    worst = max(ratios, default=1.0)
    return {
        "seconds": [significant(one) for one in seconds], "worst_ratio": significant(worst),
        "pass": worst < GOAL_RATIO and seconds[-1] <= GOAL_S,
    }  # fmt: skip


def _seconds(parse: Callable[[str], None], text: str) -> float:
    gc.collect()
    begun = time.process_time()
    parse(text)
    return time.process_time() - begun


def measure(chars: int, infotext_chars: int, rounds: int) -> Result:
    """Time all parsers on all texts."""
    found: Result = {f"prompt: {name}": grow(parse_prompt, make, chars, rounds) for name, make in PROMPTS.items()}
    for name, make in INFOTEXTS.items():
        found[f"infotext: {name}"] = grow(parse_parameters, make, infotext_chars, rounds)
    return found | {"pass": all(one["pass"] for one in found.values())}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--chars", type=int, default=12_500, help="of the shortest prompt; the limit is four times that"
    )
    parser.add_argument("--infotext-chars", type=int, default=24_000, help="of the shortest parameters text")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    show(measure(asked.chars, asked.infotext_chars, asked.rounds))


if __name__ == "__main__":
    main()
