"""Turn a value from a file, a client or an infotext into the type a setting declares."""

import math
import types
from collections.abc import Iterable
from typing import Any, cast, get_args, get_origin

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.param import Param, ParamPath

_WORDS = {"true": True, "false": False}
_MAX_TEXT = 10_000
_MAX_ITEMS = 1_000


def coerce(item: ParamPath, value: Any) -> Any:
    """Check a value against the declaration of a setting.

    Numbers and booleans are also accepted as text, because infotexts carry everything as text; a float without
    a fraction is accepted for an integer, because A1111 answers with such floats.

    Args:
        item: the declared setting.
        value: what arrived; JSON types.

    Returns:
        The value in the declared type.

    Raises:
        InvalidRequest: wrong type, not among the choices, or below the smallest value; names the key.
        LimitExceeded: above the largest value.
    """
    converted = _convert(item.name, item.annotation, value)
    _check(item.name, item.param, converted)
    return converted


def _convert(key: str, annotation: Any, value: Any) -> Any:
    if annotation is Any:
        return value
    if isinstance(annotation, types.UnionType):
        rest = [kind for kind in get_args(annotation) if kind is not types.NoneType]
        return None if value is None else _convert(key, rest[0], value)
    if get_origin(annotation) is tuple:
        return _texts(key, value)
    if annotation is bool:
        return _boolean(key, value)
    if annotation is int:
        return _integer(key, value)
    if annotation is float:
        return _number(key, value)
    return _text(key, value)


def _wrong(key: str, wanted: str, value: Any) -> InvalidRequest:
    return InvalidRequest(f"expected {wanted}, got {repr(value)[:100]}", field=key)


def _boolean(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise _wrong(key, "true or false", value)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong(key, "a number", value)
    try:
        number = float(value[:100] if isinstance(value, str) else value)
    except (ValueError, OverflowError) as error:
        raise _wrong(key, "a number", value) from error
    if not math.isfinite(number):
        raise _wrong(key, "a finite number", value)
    return number


def _integer(key: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 24 and value.strip().lstrip("+-").isdecimal():
        return int(value)
    number = _number(key, value)
    if not number.is_integer():
        raise _wrong(key, "a whole number", value)
    return int(number)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(key, "text", value)
    if len(value) > _MAX_TEXT:
        raise LimitExceeded(key, f"{len(value)} characters", _MAX_TEXT)
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _wrong(key, "well-formed Unicode text", value.encode("ascii", "backslashreplace"))
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable) or isinstance(value, dict):
        raise _wrong(key, "a list of texts", value)
    items = list(cast("Iterable[Any]", value))
    if len(items) > _MAX_ITEMS:
        raise LimitExceeded(key, f"{len(items)} entries", _MAX_ITEMS)
    return tuple(_text(key, item) for item in items)


def _check(key: str, about: Param, value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if about.ge is not None and value < about.ge:
            raise InvalidRequest(f"{value} is below the smallest value {about.ge}", field=key)
        if about.le is not None and value > about.le:
            raise LimitExceeded(key, value, about.le)
    if isinstance(about.choices, tuple) and isinstance(value, str) and value not in about.choices:
        raise InvalidRequest(f"{value[:100]!r} is not one of {', '.join(about.choices)}", field=key)
