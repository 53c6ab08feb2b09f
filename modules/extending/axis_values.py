"""From what a person types to the values of an axis: readers for `Axis.read`."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from itertools import permutations
from math import factorial, floor
from typing import Any

from modules.domain.request import Size

MAX_VALUES = 10_000
"""Of one axis."""
WORDS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
_NUMBER = r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*"
_RANGE = re.compile(rf"{_NUMBER}-{_NUMBER}(?:\({_NUMBER}\)\s*|\[\s*(\d+)\s*\]\s*)?")
"""`1-5`, `1-10 (+2)`, `10-5 (-3)`, `1-10 [5]`."""
_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*")
_MAX_CHARS, _MAX_DIGITS = 200, 30
"""Of a range, and of a number."""


def split_csv(text: str) -> list[str]:
    """Split a text at commas and ends of lines; what is in double quotes is one entry."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return [entry.strip() for row in rows for entry in row]


def joined_csv(entries: Sequence[str]) -> str:
    """Write entries so that `split_csv` finds them again."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(entries)
    return out.getvalue()


def texts(entries: Sequence[str]) -> list[str]:
    """Take entries as they are."""
    return list(entries)


def integers(entries: Sequence[str]) -> list[int]:
    """Read whole numbers and ranges of them.

    Raises:
        ValueError: an entry is neither, or there are too many.
    """
    return [value for entry in entries if entry for value in _expanded(entry, _integer, whole=True)]


def decimals(entries: Sequence[str]) -> list[float]:
    """Read numbers and ranges of them; see `integers`."""
    return [value for entry in entries if entry for value in _expanded(entry, _decimal, whole=False)]


def switches(entries: Sequence[str]) -> list[bool]:
    """Read words for on and off.

    Raises:
        ValueError: another word.
    """
    unknown = next((entry for entry in entries if entry.lower() not in WORDS), None)
    if unknown is not None:
        raise ValueError(f"{unknown[:50]!r} is neither true nor false")
    return [WORDS[entry.lower()] for entry in entries]


def sizes(entries: Sequence[str]) -> list[Size]:
    """Read sizes such as 512x768.

    Raises:
        ValueError: an entry is none.
    """
    found = [(entry, _SIZE.fullmatch(entry)) for entry in entries if entry]
    wrong = next((entry for entry, match in found if match is None), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:50]!r} is no size; write 512x768")
    return [Size(width=int(match[1]), height=int(match[2])) for _, match in found if match]


def orders(entries: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all orders of the entries.

    Raises:
        ValueError: there are too many.
    """
    if len(entries) > 10 or factorial(len(entries)) > MAX_VALUES:
        raise ValueError(f"{len(entries)} parts have too many orders")
    return list(permutations(entries))


def reordered(text: str, parts: Sequence[str]) -> str:
    """Put parts of a text into another order; what is between them stays where it is."""
    places = sorted((text.find(part), len(part)) for part in parts if part in text)
    found = iter([part for part in parts if part in text])
    result, end = "", 0
    for place, length in places:
        result += text[end:place] + next(found)
        end = max(end, place + length)
    return result + text[end:]


def _expanded(entry: str, read: Callable[[str], Any], *, whole: bool) -> list[Any]:
    """Return the values of one entry: a number, or a range."""
    match = _RANGE.fullmatch(entry) if len(entry) <= _MAX_CHARS else None
    if match is None:
        return [read(entry)]
    first, last, step, count = match.groups()
    start, end = read(first), read(last)
    if count is not None:
        spread = _spread(start, end, _checked(int(count)))
        return [int(value) for value in spread] if whole else spread
    by = read(step) if step is not None else (1 if end >= start else -1)
    if by == 0:
        raise ValueError(f"the step of {entry[:50]!r} is 0")
    return _steps(start, end, by)


def _steps(start: float, end: float, by: float) -> list[float]:
    count = _checked(floor((end - start) / by + 1e-6) + 1)
    # Rounded, because 0.1 three times is not 0.3.
    return [round(start + number * by, 10) for number in range(count)]


def _spread(start: float, end: float, count: int) -> list[float]:
    if count < 2:
        return [start] * count
    return [round(start + (end - start) * number / (count - 1), 10) for number in range(count)]


def _checked(count: int) -> int:
    if count > MAX_VALUES:
        raise ValueError(f"{count} values are more than {MAX_VALUES}")
    return max(count, 0)


def _integer(text: str) -> int:
    try:
        # Nothing that is varied has more digits, and reading very many takes long.
        return int(text if len(text) <= _MAX_DIGITS else "")
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no whole number") from None


def _decimal(text: str) -> float:
    try:
        return float(text if len(text) <= _MAX_DIGITS else "")
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no number") from None
