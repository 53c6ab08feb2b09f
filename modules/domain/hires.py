"""How large a picture becomes in the hires pass."""

from dataclasses import dataclass
from math import ceil, sqrt

from modules.domain.request import HiresSpec, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class HiresSize:
    """Sizes of a second pass."""

    upscaled: Size
    """What the first picture is enlarged to, in its own proportions."""
    target: Size
    """What is left of that, cut evenly on both sides."""


def hires_size(first: Size, spec: HiresSpec) -> HiresSize:
    """Decide the sizes of the second pass.

    With one side given the other follows from the proportions; with both, the picture covers the wanted size and
    what sticks out is cut off.
    """
    width, height, to_x, to_y = first.width, first.height, spec.resize_x, spec.resize_y
    if to_x == 0 and to_y == 0:
        scaled = Size(width=int(width * spec.scale), height=int(height * spec.scale))
        return HiresSize(upscaled=scaled, target=scaled)
    by_width = Size(width=to_x, height=to_x * height // width)
    by_height = Size(width=to_y * width // height, height=to_y)
    if to_y == 0 or to_x == 0:
        chosen = by_width if to_y == 0 else by_height
        return HiresSize(upscaled=chosen, target=chosen)
    chosen = by_width if width / height < to_x / to_y else by_height
    return HiresSize(upscaled=chosen, target=Size(width=to_x, height=to_y))


def old_first_pass(final: Size) -> Size:
    """Return the first pass of versions before 1.0.5: about 512 x 512 pixels in the final proportions, steps of 64."""
    scale = sqrt(512 * 512 / (final.width * final.height))
    return Size(width=ceil(scale * final.width / 64) * 64, height=ceil(scale * final.height / 64) * 64)
