"""Idioms of pydantic 1, served while code of extensions defines its models.

The library is patched once, when the first extension for A1111 is loaded. Classes that are defined elsewhere, and
everything once it is defined, are pydantic 2's own.
"""

import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from modules.compat.serving import is_serving, mark_patched, was_patched

RENAMED: Mapping[str, str] = {
    "allow_population_by_field_name": "populate_by_name", "anystr_lower": "str_to_lower", "anystr_upper": "str_to_upper",
    "anystr_strip_whitespace": "str_strip_whitespace", "keep_untouched": "ignored_types",
    "max_anystr_length": "str_max_length", "min_anystr_length": "str_min_length", "orm_mode": "from_attributes",
    "schema_extra": "json_schema_extra", "validate_all": "validate_default",
}  # fmt: skip
"""Key of a class `Config` -> key of today."""
DROPPED = frozenset({
    "allow_mutation", "copy_on_model_validation", "error_msg_templates", "fields", "getter_dict", "json_dumps", "json_loads",
    "post_init_call", "smart_union", "underscore_attrs_are_private",
})  # fmt: skip
"""Keys that mean nothing any more."""
_OPTIONAL = re.compile(r"^(typing\.)?Optional\[|(^|\|)\s*None\s*($|\|)")


def install() -> None:
    """Patch pydantic; only the first call does something."""
    import pydantic

    if was_patched(pydantic.root_validator):
        return
    pydantic.root_validator = _root_validator(pydantic.root_validator)
    pydantic.BaseModel.__config__ = _Config()  # pyright: ignore[reportAttributeAccessIssue]
    _translate(type(pydantic.BaseModel))


def _root_validator(original: Any) -> Any:
    """Let a validator of the whole be skipped after errors, which pydantic wants to be told."""

    @functools.wraps(original)
    def root_validator(*functions: Any, **given: Any) -> Any:
        if not given.get("pre"):
            given["skip_on_failure"] = True
        made = original(**given)
        return made(functions[0]) if functions else made

    mark_patched(root_validator)
    return root_validator


class _Config:
    """`Model.__config__`: what a model is set to, as a class that another `Config` may derive from."""

    def __get__(self, instance: Any, owner: Any) -> type:
        return type("Config", (), dict(owner.model_config))


def _translate(meta: Any) -> None:
    """Translate the body of a class of an extension before pydantic reads it."""
    original = meta.__new__

    @functools.wraps(original)
    def new(cls: Any, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], *rest: Any, **more: Any) -> Any:
        if is_serving() and bases:
            _default_to_none(namespace)
            namespace = _with_todays_config(namespace)
        return original(cls, name, bases, namespace, *rest, **more)

    meta.__new__ = new


def _default_to_none(namespace: dict[str, Any]) -> None:
    """Make what may be None optional: once that was the same."""
    from pydantic.fields import FieldInfo
    from pydantic_core import PydanticUndefined

    for name, kind in namespace.get("__annotations__", {}).items():
        if name.startswith("_") or not _may_be_none(kind):
            continue
        value = namespace.setdefault(name, None)
        if isinstance(value, FieldInfo) and value.default is PydanticUndefined and value.default_factory is None:
            value.default = None
            value._attributes_set["default"] = None  # pyright: ignore[reportPrivateUsage]


def _may_be_none(kind: Any) -> bool:
    if isinstance(kind, str):
        return bool(_OPTIONAL.search(kind))
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def _with_todays_config(namespace: dict[str, Any]) -> dict[str, Any]:
    config = namespace.get("Config")
    if not isinstance(config, type):
        return namespace
    given = {name: getattr(config, name) for name in dir(config) if not name.startswith("__")}
    if given.get("allow_mutation") is False:
        given["frozen"] = True
    kept = {RENAMED.get(name, name): value for name, value in given.items() if name not in DROPPED}
    rest = {name: value for name, value in namespace.items() if name != "Config"}
    return {**rest, "model_config": {**kept, **namespace.get("model_config", {})}}
