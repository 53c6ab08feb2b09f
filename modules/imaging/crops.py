"""Cut pictures to the sizes that training wants."""

import math
from collections.abc import Iterator

from PIL import Image

STEP = 64
"""Sides of automatic sizes are multiples of this, pixels."""


def split_oversized(image: Image.Image, target: tuple[int, int], *, threshold: float, overlap: float) -> list[Image.Image]:  # fmt: skip
    """Cut a picture that is far longer than wanted into parts of the wanted size, spread evenly along its long side.

    Args:
        image: any mode.
        target: wanted width and height, pixels.
        threshold: the picture is cut when the quotient of its proportions and the wanted ones is at most this.
        overlap: least share of a part that the next one shows again, 0..0.9.

    Returns:
        The parts from the top or the left; the picture itself when it is not cut.
    """
    upright = image.height > image.width
    along, across = (image.height, image.width) if upright else (image.width, image.height)
    part, side = (target[1], target[0]) if upright else target
    quotient = across * part / (along * side)
    if quotient >= 1 or quotient > threshold:
        return [image]
    length = along * side // across
    scaled = image.resize((side, length) if upright else (length, side), Image.Resampling.LANCZOS)
    count = max(2, math.ceil((length - part * overlap) / (part * (1 - overlap))))
    starts = [int((length - part) / (count - 1) * number) for number in range(count)]
    boxes = [(0, at, side, at + part) if upright else (at, 0, at + part, side) for at in starts]
    return [scaled.crop(box) for box in boxes]


def best_size(
    size: tuple[int, int], *, sides: tuple[int, int], areas: tuple[int, int], threshold: float, largest: bool
) -> tuple[int, int] | None:
    """Find the size that suits a picture's proportions; None when no size comes near enough.

    Args:
        size: of the picture, pixels.
        sides: shortest and longest side.
        areas: least and most pixels.
        threshold: how far the proportions may be off, 0 for not at all.
        largest: prefer more pixels to better proportions.
    """
    found = [
        (wide * high, _error(size, (wide, high)), (wide, high))
        for wide, high in _sizes(*sides)
        if areas[0] <= wide * high <= areas[1] and _error(size, (wide, high)) <= threshold
    ]
    if not found:
        return None
    order = (lambda one: (-one[0], one[1])) if largest else (lambda one: (one[1], -one[0]))
    return min(found, key=order)[2]


def centre_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cut the largest part with the proportions of a size around the centre, and bring it to that size."""
    scale = min(image.width / size[0], image.height / size[1])
    left, top = (image.width - size[0] * scale) / 2, (image.height - size[1] * scale) / 2
    box = (left, top, image.width - left, image.height - top)
    return image.resize(size, Image.Resampling.LANCZOS, box)


def _sizes(shortest: int, longest: int) -> Iterator[tuple[int, int]]:
    sides = range(shortest, longest + 1, STEP)
    return ((wide, high) for wide in sides for high in sides)


def _error(size: tuple[int, int], other: tuple[int, int]) -> float:
    quotient = size[0] * other[1] / (size[1] * other[0])
    return 1 - min(quotient, 1 / quotient)
