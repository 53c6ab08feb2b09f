"""Requests as JSON and back, derived from the dataclasses themselves."""

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from modules.domain.errors import InvalidRequest
from modules.domain.request import ImageRef

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Turn a tree of dataclasses, tuples, mappings and scalars into JSON types.

    The bytes of pictures are left out: a record names them by the hash beside them.

    Raises:
        TypeError: a value of another type.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if (names := _names(value.__class__)) is not None:
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in cast("tuple[Any, ...]", value)]
    if isinstance(value, bytes):
        return None
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(cls: type[T], data: Any) -> T:
    """Rebuild a dataclass from what `to_json` made of it. Unknown keys are ignored, missing ones get their default.

    Raises:
        InvalidRequest: a value of the wrong type; names the path to it.
    """
    return cast("T", _build(cls, data, ""))


def pictures_in(value: Any) -> dict[str, bytes]:
    """Return the pictures that a request brings along, by hash."""
    return {one.sha256: one.data for one in _references(value) if one.data is not None}


def with_pictures(value: T, find: Callable[[str], bytes | None]) -> T:
    """Give the references in a request their pictures back.

    Args:
        value: a request made by `from_json`.
        find: returns the bytes for a hash, None when they are gone.

    Raises:
        InvalidRequest: a picture is gone.
    """
    return cast("T", _filled(value, find))


def _filled(value: Any, find: Callable[[str], bytes | None]) -> Any:
    if isinstance(value, ImageRef):
        data = find(value.sha256)
        if data is None:
            raise InvalidRequest("a picture that the request brought along is no longer kept; send it again")
        return replace(value, data=data)
    if isinstance(value, tuple):
        return tuple(_filled(part, find) for part in cast("tuple[Any, ...]", value))
    if (names := _names(value.__class__)) is not None:
        parts = {name: getattr(value, name) for name in names}
        changed = {name: _filled(part, find) for name, part in parts.items() if any(_references(part))}
        return replace(value, **changed) if changed else value
    return value


def _references(value: Any) -> Iterator[ImageRef]:
    if isinstance(value, ImageRef):
        yield value
    elif isinstance(value, tuple):
        for part in cast("tuple[Any, ...]", value):
            yield from _references(part)
    elif (names := _names(value.__class__)) is not None:
        for name in names:
            part = getattr(value, name)
            if part is not None and not isinstance(part, str | int | float):
                yield from _references(part)


@cache
def _names(cls: Any) -> tuple[str, ...] | None:
    """Return the fields of a dataclass, None for any other class."""
    return tuple(item.name for item in fields(cls)) if is_dataclass(cls) else None


def _build(annotation: Any, data: Any, where: str) -> Any:
    if annotation is Any:
        return data
    if isinstance(annotation, types.UnionType):
        return _first_that_fits(get_args(annotation), data, where)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _build_dataclass(annotation, data, where)
    origin = get_origin(annotation)
    if origin is tuple:
        return tuple(_build(get_args(annotation)[0], part, where) for part in _checked(list, data, where))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return types.MappingProxyType(dict(_checked(dict, data, where)))
    if annotation is float and isinstance(data, int) and not isinstance(data, bool):
        return data
    return _checked(annotation, data, where)


def _build_dataclass(cls: type, data: Any, where: str) -> Any:
    given = _checked(dict, data, where)
    hints = _hints(cls)
    names = [item.name for item in fields(cls) if item.name in given]
    return cls(**{name: _build(hints[name], given[name], f"{where}.{name}".lstrip(".")) for name in names})


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    return types.MappingProxyType(get_type_hints(cls))


def _first_that_fits(options: tuple[Any, ...], data: Any, where: str) -> Any:
    for option in options:
        try:
            return _build(option, data, where)
        except InvalidRequest:
            continue
    raise InvalidRequest(f"unexpected {type(data).__name__}", field=where)


def _checked(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        wanted = getattr(kind, "__name__", str(kind))
        raise InvalidRequest(f"expected {wanted}, got {type(data).__name__}", field=where)
    return data
