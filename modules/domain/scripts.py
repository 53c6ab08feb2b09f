"""A1111's selectable scripts that come with this program: their names, and what their positional arguments mean."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from modules.domain.errors import InvalidRequest
from modules.domain.request import ScriptCall

SIDES = ("left", "right", "up", "down")
FILLS = ("fill", "original", "latent noise", "latent nothing")
"""What a repainted part starts from, in the order of `MaskSpec.fill`."""
_FIELD = "script_args"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One positional argument of a script, as A1111's control for it."""

    label: str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None
    """One of them by its place, or several by name where the default is several."""
    elem_id: str = ""
    """What A1111's element id ends with; empty for an argument without a control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoorMansOutpainting:
    """Widen a picture and repaint the border tile by tile."""

    pixels: int
    """Added on each wanted side, before the size is rounded up to multiples of 64; also how far tiles overlap."""
    mask_blur: int
    fill: int
    """What the run starts from, see `MaskSpec.fill`."""
    tell_fill: bool
    """Whether infotext says so; over the API A1111 takes a name for `fill`, reads every name as 0, and does not."""
    sides: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutpaintingMk2:
    """Widen a picture side by side, starting from noise with the spectrum and the colours of the picture."""

    pixels: int
    mask_blur: int
    sides: frozenset[str]
    noise_exponent: float
    """How closely the noise follows the spectrum; 0 not at all."""
    colour_variation: float
    """0 for grey noise, 1 for noise of all colours."""


Script: TypeAlias = PoorMansOutpainting | OutpaintingMk2


def read_script(call: ScriptCall) -> Script:
    """Understand the arguments of a script; those that are missing at the end have their defaults.

    Raises:
        InvalidRequest: there is no such script, or an argument is too much, of the wrong type or out of range.
    """
    name = call.name.lower()
    reader = READERS.get(name)
    if reader is None:
        raise InvalidRequest(f"Script '{call.name[:200]}' not found", field="script_name")
    known = ARGUMENTS[name]
    if len(call.args) > len(known):
        raise InvalidRequest(f"{len(call.args)} arguments for a script that takes {len(known)}", field=_FIELD)
    try:
        return reader([*call.args, *(one.default for one in known[len(call.args) :])])
    except InvalidRequest as error:
        reason = str(error).removeprefix(f"{_FIELD}: ")
        raise InvalidRequest(f"{call.name}: {reason}", field=_FIELD) from None


def _poor_mans(args: Sequence[Any]) -> PoorMansOutpainting:
    pixels, mask_blur, fill, sides = args
    return PoorMansOutpainting(
        pixels=int(_number(pixels, "pixels", 8, 256)),
        mask_blur=int(_number(mask_blur, "mask blur", 0, 64)),
        fill=0 if isinstance(fill, str) else int(_number(fill, "masked content", 0, 3)),
        tell_fill=not isinstance(fill, str),
        sides=_sides(sides),
    )


def _mk2(args: Sequence[Any]) -> OutpaintingMk2:
    _, pixels, mask_blur, sides, exponent, variation = args
    return OutpaintingMk2(
        pixels=int(_number(pixels, "pixels", 8, 256)),
        mask_blur=int(_number(mask_blur, "mask blur", 0, 64)),
        sides=_sides(sides),
        noise_exponent=_number(exponent, "fall-off exponent", 0, 4),
        colour_variation=_number(variation, "colour variation", 0, 1),
    )


READERS: Mapping[str, Callable[[Sequence[Any]], Script]] = MappingProxyType({
    "poor man's outpainting": _poor_mans,
    "outpainting mk2": _mk2,
})  # fmt: skip
"""Title in small letters -> reader of all arguments. All of them work on pictures."""

_PIXELS = Argument(label="Pixels to expand", elem_id="pixels", default=128, minimum=8, maximum=256, step=8)
_DIRECTION = Argument(label="Outpainting direction", elem_id="direction", default=SIDES, choices=SIDES)
ARGUMENTS: Mapping[str, tuple[Argument, ...]] = MappingProxyType({
    "poor man's outpainting": (
        _PIXELS,
        Argument(label="Mask blur", elem_id="mask_blur", default=4, minimum=0, maximum=64, step=1),
        Argument(label="Masked content", elem_id="inpainting_fill", default="fill", choices=FILLS),
        _DIRECTION,
    ),
    "outpainting mk2": (
        Argument(label=""),
        _PIXELS,
        Argument(label="Mask blur", elem_id="mask_blur", default=8, minimum=0, maximum=64, step=1),
        _DIRECTION,
        Argument(label="Fall-off exponent (lower=higher detail)", elem_id="noise_q", default=1.0, minimum=0.0, maximum=4.0, step=0.01),
        Argument(label="Color variation", elem_id="color_variation", default=0.05, minimum=0.0, maximum=1.0, step=0.01),
    ),
})  # fmt: skip
"""Title in small letters -> its arguments in order. The first of Outpainting mk2 is a text that only people read."""


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(f"{what} must be a number from {low} to {high}, got {value!r:.50}", field=_FIELD)
    return value


def _sides(value: Any) -> frozenset[str]:
    given = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ("",)
    if any(side not in SIDES for side in given):
        raise InvalidRequest(f"the direction must be a list of {', '.join(SIDES)}", field=_FIELD)
    if not given:
        raise InvalidRequest("choose at least one side to widen", field=_FIELD)
    return frozenset(given)
