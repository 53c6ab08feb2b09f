"""Steps over finished pictures: what one is given, what it gives back, and what is known of it.

They run in the Extras tab and, where the settings want that, on each picture that txt2img and img2img make.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from modules.hooks.context import JobContext

if TYPE_CHECKING:
    from PIL.Image import Image

EXTRAS, MAIN = "extras", "main"
"""Places of a step: the Extras tab; txt2img and img2img."""
Told = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture on its way through the steps. A step returns changed copies, made with `dataclasses.replace`."""

    image: "Image"
    told: Told = field(default_factory=lambda: MappingProxyType({}))
    """What was done, as entries of a parameters line."""
    tags: tuple[str, ...] = ()
    """End the name of its file."""
    target: tuple[int, int] | None = None
    """Width and height that the picture should have at the end, pixels; set by `prepare` of the step Upscale."""
    caption: str = ""
    """Written into a text file beside the picture."""
    is_done: bool = False
    """Whether later steps leave it alone."""
    name: str = ""
    """Of the file that it was made of, without extension; empty when it has none."""


class Named(Protocol):
    """What is known of every step, whoever wrote it in whatever way."""

    @property
    def id(self) -> str:
        """Small letters, digits, `_` and `-`; names its values in requests and its elements in the page."""
        ...

    @property
    def label(self) -> str:
        """Title of its accordion, and its name in settings and requests."""
        ...

    @property
    def order(self) -> float:
        """Smaller ones run earlier, unless the settings name another order; Upscale has 1000."""
        ...


class Step(Named, Protocol):
    """A step. It may also have `prepare(picture, params, ctx)`, which sees the picture before any step has changed it,
    and `places`, where it is offered: a tuple of `EXTRAS` and `MAIN`, both when it is left out.
    """

    @property
    def Params(self) -> type:  # noqa: N802 - a class
        """Its parameters, a frozen dataclass of `param(...)`. The field `enabled` is its switch."""
        ...

    def process(self, picture: Picture, params: Any, ctx: JobContext, /) -> "Picture | Iterable[Picture] | None":
        """Return the changed picture, several of them, or None to leave it as it is.

        All but the first are further results; later steps get them too.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A step with the values of one request."""

    label: str
    process: Callable[[Picture, JobContext], Sequence[Picture]]
    """Returns at least one picture."""
    prepare: Callable[[Picture, JobContext], Picture] | None = None


def places_of(step: Named) -> tuple[str, ...]:
    """Return where a step is offered."""
    return getattr(step, "places", (EXTRAS, MAIN))


def in_order(steps: Iterable[Named], first: Sequence[str]) -> list[Any]:
    """Sort steps: those that the settings name, in their order, then the others by their own.

    Args:
        steps: any.
        first: labels.
    """
    place = {label: number for number, label in reversed(list(enumerate(first)))}
    return sorted(steps, key=lambda one: (place.get(one.label, len(first)), one.order, one.label))


def bind(step: Step, params: Any, told: Told) -> Bound:
    """Give a step the values of a request.

    Args:
        step: which.
        params: its parameters.
        told: what a parameters line says of them.
    """
    prepare = getattr(step, "prepare", None)

    def process(picture: Picture, ctx: JobContext) -> Sequence[Picture]:
        return [_told(one, told) for one in _several(step.process(picture, params, ctx), picture)]

    def first(picture: Picture, ctx: JobContext) -> Picture:
        return prepare(picture, params, ctx) or picture if prepare is not None else picture

    return Bound(label=step.label, process=process, prepare=first if prepare is not None else None)


def _several(made: "Picture | Iterable[Picture] | None", before: Picture) -> list[Picture]:
    if made is None:
        return [before]
    found = [made] if isinstance(made, Picture) else list(made)
    return found or [before]


def _told(picture: Picture, more: Told) -> Picture:
    return replace(picture, told=MappingProxyType({**picture.told, **more})) if more else picture
