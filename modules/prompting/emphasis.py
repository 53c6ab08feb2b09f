"""Attention brackets: `(text)`, `[text]`, `(text:1.3)`, escapes and the BREAK keyword."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

ROUND_FACTOR = 1.1
SQUARE_FACTOR = 1 / 1.1

MAX_DEPTH = 64
"""Brackets nested deeper than this no longer change the weight (1.1 to the 64th is 446), so that cost stays linear."""

MAX_WEIGHT = 1e30
"""A product of numbers above this would overflow float32; such a text keeps weight 1."""

# Possessive quantifiers: no construct is ever scanned twice.
_TOKEN = re.compile(r"\\[()\[\]\\]|\\|:\s*+([+-]?[.\d]++)\s*+\)|[()\[\]:]|[^\\()\[\]:]++")
_BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a prompt that is tokenised on its own."""

    text: str
    weight: float = 1.0
    is_break: bool = False
    """True for the marker that ends the current chunk; its text is empty."""


def parse_emphasis(text: str, mode: str = "Original") -> tuple[Fragment, ...]:
    """Split a prompt into weighted fragments; neighbours of equal weight are merged. Never raises.

    Args:
        text: one prompt, without schedules, AND and extra-network tags.
        mode: the emphasis option; "None" leaves brackets, escapes and BREAK in the text. "Ignore" parses as
            usual, because the places where a text is cut change its tokens: whoever encodes drops the weights.
    """
    if mode == "None":
        return (Fragment(text),)
    pieces = _Pieces()
    for match in _TOKEN.finditer(text):
        _take(pieces, match.group(), match.group(1))
    pieces.close_all()
    return tuple(_merged(zip(pieces.texts, pieces.weights, strict=True)))


class _Pieces:
    """Texts read so far with their weights, and the brackets that are still open.

    Round and square brackets are matched independently of each other, so `([)]` weighs overlapping ranges.
    """

    def __init__(self) -> None:
        self.texts: list[str | None] = []  # None marks a BREAK
        self.weights: list[float] = []
        self.round: list[int | None] = []  # first piece inside each open bracket; None when it is too deep to count
        self.square: list[int | None] = []

    def add(self, text: str | None) -> None:
        self.texts.append(text)
        self.weights.append(1.0)

    def open(self, stack: list[int | None]) -> None:
        counts = len(self.round) + len(self.square) < MAX_DEPTH
        stack.append(len(self.texts) if counts else None)

    def close(self, stack: list[int | None], factor: float) -> None:
        start = stack.pop()
        if start is not None:
            self._multiply(start, factor)

    def close_all(self) -> None:
        for stack, factor in ((self.round, ROUND_FACTOR), (self.square, SQUARE_FACTOR)):
            for start in stack[:MAX_DEPTH]:
                if start is not None:
                    self._multiply(start, factor)

    def _multiply(self, start: int, factor: float) -> None:
        for i in range(start, len(self.weights)):
            self.weights[i] *= factor


def _take(pieces: _Pieces, token: str, number: str | None) -> None:
    """Apply one token of the grammar."""
    weight = _finite(number) if number is not None and pieces.round else None
    if token[0] == "\\":
        pieces.add(token[1:])
    elif token == "(":
        pieces.open(pieces.round)
    elif token == "[":
        pieces.open(pieces.square)
    elif weight is not None:
        pieces.close(pieces.round, weight)
    elif number is not None and pieces.round:  # `(a:1.2.3)`: not a number, so text and an ordinary closing bracket
        pieces.add(token[:-1])
        pieces.close(pieces.round, ROUND_FACTOR)
    elif token == ")" and pieces.round:
        pieces.close(pieces.round, ROUND_FACTOR)
    elif token == "]" and pieces.square:
        pieces.close(pieces.square, SQUARE_FACTOR)
    else:
        _add_text(pieces, token)


def _finite(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _add_text(pieces: _Pieces, text: str) -> None:
    """Add literal text, cut at each BREAK; white space around the word belongs to it."""
    parts = _BREAK.split(text)
    for i, part in enumerate(parts):
        if i > 0:
            pieces.add(None)
            part = part.lstrip()
        pieces.add(part.rstrip() if i < len(parts) - 1 else part)


def _merged(pieces: Iterable[tuple[str | None, float]]) -> list[Fragment]:
    """Join neighbours of equal weight; an empty prompt is one empty fragment."""
    done: list[Fragment] = []
    run: list[str] = []
    run_weight = 1.0
    for text, weight in pieces:
        weight = weight if abs(weight) <= MAX_WEIGHT else 1.0  # also true of NaN
        if run and (text is None or weight != run_weight):
            done.append(Fragment("".join(run), run_weight))
            run = []
        if text is None:
            done.append(Fragment("", 1.0, is_break=True))
        else:
            run.append(text)
            run_weight = weight
    if run:
        done.append(Fragment("".join(run), run_weight))
    return done or [Fragment("")]
