"""One declaration per parameter; REST body, control, infotext and docs are derived from it."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, cast, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """What a person, a client and a picture's infotext know about one field."""

    label: str
    """Text beside the control; A1111's wording where it has one."""
    api: str | None = None
    """Flat name in `/sdapi/v1`; None means the field's own name, "" means not offered there."""
    infotext: str | None = None
    """Key in the parameters line, or None when the field is not written under its own key."""
    ge: float | None = None
    """Smallest accepted value; below it the request is refused."""
    le: float | None = None
    """Largest accepted value; above it the request is refused."""
    slider: tuple[float, float] | None = None
    """Range the control offers, which may be narrower than what is accepted."""
    step: float | None = None
    choices: str | tuple[str, ...] | None = None
    """Accepted texts, or the name of a list known to the application ("samplers", "checkpoints", ...)."""
    elem_id: str | None = None
    """A1111's element id suffix (`_steps`) that extensions and style sheets rely on."""
    help: str = ""


def param(default: Any = MISSING, *, factory: Callable[[], Any] | None = None, label: str, **about: Any) -> Any:
    """Declare a dataclass field together with its `Param` metadata.

    Args:
        default: the field's default; pass `factory` instead for containers.
        factory: called for each new instance when there is no `default`.
        label: see `Param.label`.
        **about: further `Param` attributes.
    """
    metadata = {"param": Param(label=label, **about)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamPath:
    """One declared parameter inside a tree of nested dataclasses."""

    path: tuple[str, ...]
    """Field names from the root dataclass down to the parameter."""
    param: Param
    annotation: Any
    default: Any

    @property
    def name(self) -> str:
        """Flat name used by the API and as the key of UI values."""
        return self.path[-1] if self.param.api is None else self.param.api


def _default(item: Field[Any]) -> Any:
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else MISSING


def param_of(item: Field[Any]) -> Param | None:
    """Return the `Param` declared on a dataclass field, if any."""
    return cast("Param | None", item.metadata.get("param"))


def walk_params(cls: type, prefix: tuple[str, ...] = ()) -> Iterator[ParamPath]:
    """Yield every declared parameter of a dataclass and of the dataclasses nested in it, in field order."""
    hints = get_type_hints(cls)
    for item in fields(cls):
        annotation, path = hints[item.name], (*prefix, item.name)
        about = param_of(item)
        if about is not None:
            yield ParamPath(path=path, param=about, annotation=annotation, default=_default(item))
        elif isinstance(annotation, type) and is_dataclass(annotation):
            yield from walk_params(annotation, path)
