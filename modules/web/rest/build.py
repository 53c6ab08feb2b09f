"""A dataclass of declared parameters from the flat names of the API."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

from modules.domain.param import param_of


def build(cls: type, values: Mapping[str, Any], more: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Make a dataclass of declared parameters from flat API names.

    Args:
        cls: the dataclass.
        values: flat name -> value.
        more: values of fields that are not parameters, by field name; a mapping fills a nested dataclass.
    """
    hints, found = _hints(cls), dict[str, Any]()
    for item in fields(cls):
        about, kind = param_of(item), hints[item.name]
        if about is not None:
            name = item.name if about.api is None else about.api
            if name in values:
                found[item.name] = values[name]
        elif isinstance(kind, type) and is_dataclass(kind):
            given = more.get(item.name)
            found[item.name] = (
                build(kind, values) if given is None else given if isinstance(given, kind) else kind(**given)
            )
        elif item.name in more:
            found[item.name] = more[item.name]
    return cls(**found)


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    return MappingProxyType(get_type_hints(cls))
