"""Enlarge finished pictures by a factor or to a size, with one upscaler or two that are mixed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded, UnknownName
from modules.imaging.resize import plain

Upscaler = Callable[[Image.Image, float], Image.Image]
"""(picture, factor) -> a picture that is larger, by this factor or by one of the upscaler's own."""

MAX_PASSES = 3
"""An upscaler with a factor of its own runs so often before what is missing is resized."""
NO_UPSCALER = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleSpec:
    """What Extras does to a picture. One of `factor` and `size` is given."""

    factor: float | None = None
    size: tuple[int, int] | None = None
    """Width and height that the result covers, pixels."""
    crop: bool = True
    """Cut what sticks out of `size` off, evenly on both sides."""
    max_side: int = 0
    """Longest side that `factor` may lead to, pixels; 0 for any."""
    first: str = NO_UPSCALER
    """Name of an upscaler; `NO_UPSCALER` leaves the picture as it is."""
    second: str = NO_UPSCALER
    second_visibility: float = 0.0
    """Share of the second upscaler in the result, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedUpscaler:
    """One entry of the list of upscalers."""

    name: str
    enlarge: Upscaler
    scale: float = 4.0
    """By how much it enlarges at once, as lists tell it."""
    model_name: str | None = None
    model_path: str | None = None

    def __call__(self, image: Image.Image, factor: float) -> Image.Image:
        """Enlarge a picture."""
        return self.enlarge(image, factor)


def _plain(name: str) -> NamedUpscaler:
    def enlarge(image: Image.Image, factor: float) -> Image.Image:
        return plain(image, max(1, int(image.width * factor)), max(1, int(image.height * factor)), name)

    return NamedUpscaler(name=name, enlarge=enlarge)


PLAIN: Mapping[str, NamedUpscaler] = MappingProxyType({"Lanczos": _plain("Lanczos"), "Nearest": _plain("Nearest")})
"""Upscalers that need no network."""


def check_spec(spec: UpscaleSpec, upscalers: Mapping[str, Upscaler] = PLAIN) -> None:
    """Refuse the name of an upscaler that is not there.

    Raises:
        UnknownName: in A1111's words, with the names there are.
    """
    for field, name in (("upscaler_1", spec.first), ("upscaler_2", spec.second)):
        if name != NO_UPSCALER and name not in upscalers:
            raise UnknownName("Upscaler", name, [NO_UPSCALER, *upscalers], field=field)


def result_size(width: int, height: int, spec: UpscaleSpec, max_pixels: int) -> tuple[int, int]:
    """Return the size that the upscalers have to reach: multiples of 8, as A1111 makes them.

    Raises:
        InvalidRequest: nothing would be left of the picture.
        LimitExceeded: too many pixels.
    """
    factor = factor_of(width, height, spec)
    size = int(width * factor) // 8 * 8, int(height * factor) // 8 * 8
    if min(size) < 8:
        raise InvalidRequest(
            f"a picture of {width}x{height} would become {size[0]}x{size[1]}", field="upscaling_resize"
        )
    if size[0] * size[1] > max_pixels:
        raise LimitExceeded(
            "upscaling_resize", f"{size[0]}x{size[1]}", f"{max_pixels / 1e6:g} megapixels", "api_max_upscaled_mpixels"
        )
    return size


def factor_of(width: int, height: int, spec: UpscaleSpec) -> float:
    """Return by how much a picture is enlarged; with a size, so much that it is covered."""
    target = target_size(width, height, spec)
    if spec.size is not None or is_limited(width, height, spec):
        return max(target[0] / width, target[1] / height)
    return 1.0 if spec.factor is None else spec.factor


def is_limited(width: int, height: int, spec: UpscaleSpec) -> bool:
    """Tell whether the longest side is what decides the size."""
    return spec.size is None and spec.max_side > 0 and max(width, height) * (spec.factor or 1.0) > spec.max_side


def target_size(width: int, height: int, spec: UpscaleSpec) -> tuple[int, int]:
    """Return width and height that are asked for, pixels, whether or not an upscaler is chosen."""
    if spec.size is not None:
        return spec.size
    wide, high = int(width * (spec.factor or 1.0)), int(height * (spec.factor or 1.0))
    if not is_limited(width, height, spec):
        return wide, high
    most = spec.max_side
    return (max(1, most * wide // high), most) if high > wide else (most, max(1, most * high // wide))


def upscale(
    image: Image.Image, spec: UpscaleSpec, *, max_pixels: int, upscalers: Mapping[str, Upscaler] = PLAIN
) -> Image.Image:
    """Enlarge a picture.

    Args:
        image: any mode; comes back as RGB.
        spec: what is asked for.
        max_pixels: of the result, before it is cropped.
        upscalers: by name.

    Raises:
        UnknownName: an upscaler that is not there.
        InvalidRequest: nothing would be left of the picture.
        LimitExceeded: too many pixels.
    """
    check_spec(spec, upscalers)
    image = image.convert("RGB")
    if spec.first == NO_UPSCALER:
        return image
    size = result_size(image.width, image.height, spec, max_pixels)
    factor = factor_of(image.width, image.height, spec)
    made = reach(image, size, factor, upscalers[spec.first])
    if spec.second != NO_UPSCALER and spec.second_visibility > 0:
        other = reach(image, size, factor, upscalers[spec.second])
        made = Image.blend(made, other, spec.second_visibility)
    return _cropped(made, spec.size) if spec.size is not None and spec.crop else made


def describe(spec: UpscaleSpec, source: tuple[int, int] | None = None) -> dict[str, str]:
    """Return what was done, with A1111's keys; nothing when no upscaler is chosen.

    Args:
        spec: what was asked for.
        source: width and height of the picture before, pixels.
    """
    if spec.first == NO_UPSCALER:
        return {}
    told: dict[str, str] = {}
    if spec.size is None:
        told["Postprocess upscale by"] = str(1.0 if spec.factor is None else float(spec.factor))
        if source is not None and is_limited(*source, spec):
            told["Max side length"] = str(spec.max_side)
    else:
        text = f"{spec.size[0]}x{spec.size[1]}"
        told["Postprocess upscale to"] = text
        if spec.crop:
            told["Postprocess crop to"] = text
    told["Postprocess upscaler"] = spec.first
    if spec.second != NO_UPSCALER and spec.second_visibility > 0:
        told["Postprocess upscaler 2"] = spec.second
    return told


def reach(image: Image.Image, size: tuple[int, int], factor: float, enlarge: Upscaler) -> Image.Image:
    """Enlarge until both sides are long enough, then resize what differs with Lanczos."""
    made = image
    for number in range(MAX_PASSES):
        enough = made.width >= size[0] and made.height >= size[1]
        if enough and (number > 0 or factor != 1):
            break
        before = made.size
        made = enlarge(made, factor)
        if made.size == before:
            break
    return made if made.size == size else plain(made, *size)


def _cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cut around the centre; what the picture does not reach stays black."""
    result = Image.new("RGB", size)
    result.paste(image, (size[0] // 2 - image.width // 2, size[1] // 2 - image.height // 2))
    return result
