"""Read JSON that others sent, refusing what would only make trouble later."""

import json
import math
from typing import Any, NoReturn, cast

from modules.domain.errors import LimitExceeded, WebuiError

MAX_DEPTH = 64
MAX_KEYS = 20_000
_MAX_DIGITS = 64
"""A longer whole number is not a value anybody means; Python would take quadratic time to read it."""


class BadJson(WebuiError):
    """A body that is not the JSON we accept."""


def loads(raw: bytes) -> Any:
    """Parse a request body; of duplicate keys the last one wins.

    Raises:
        BadJson: not UTF-8, not JSON, NaN or infinity, a lone surrogate, nested too deep, or a number too long.
        LimitExceeded: too many keys.
    """
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_constant, parse_float=_float, parse_int=_int)
    except UnicodeDecodeError as error:
        raise BadJson(f"the body is not UTF-8 text: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise BadJson(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    _inspect(value)
    return value


def _constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJson(f"the number {text[:40]} is out of range")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise BadJson(f"a number has {len(text)} digits; at most {_MAX_DIGITS} are read")
    return int(text)


def _inspect(value: Any) -> None:
    """Walk through everything once, without recursion."""
    level, keys = [value], 0
    for _depth in range(MAX_DEPTH + 1):
        if not level:
            return
        below: list[Any] = []
        for part in level:
            if isinstance(part, str):
                _check_text(part)
            elif isinstance(part, dict):
                entries = cast("dict[str, Any]", part)
                keys += len(entries)
                below.extend(entries)
                below.extend(entries.values())
            elif isinstance(part, list):
                below.extend(cast("list[Any]", part))
        if keys > MAX_KEYS:
            raise LimitExceeded("body", f"{keys} keys", MAX_KEYS)
        level = below
    if level:
        raise BadJson(f"the body is nested deeper than {MAX_DEPTH} levels")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadJson("a text contains half of a surrogate pair, which is not a character") from None
