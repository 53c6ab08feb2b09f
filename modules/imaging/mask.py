"""Which pixels are repainted: masks from pictures, soft edges, the part of a picture around them."""

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from modules.imaging.resize import Box

HALF = 128
BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""Radius in pixels and how often the blurred surroundings are laid over each other, from far to near."""


def mask_of(image: Image.Image, *, rounded: bool) -> Image.Image:
    """Return a mask, mode L: the transparency where it varies, else the brightness.

    Args:
        image: as sent.
        rounded: make each pixel of a transparency mask black or white.
    """
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        alpha = image.getchannel("A")
        return alpha.point([0] * HALF + [255] * (256 - HALF)) if rounded else alpha
    return image.convert("L")


def blurred(mask: Image.Image, sigma_x: int, sigma_y: int) -> Image.Image:
    """Soften a mask by a Gaussian along each axis; 0 leaves the axis alone."""
    values = np.asarray(mask, dtype=np.int64)  # [H, W]
    for axis, sigma in ((1, sigma_x), (0, sigma_y)):
        if sigma > 0:
            values = _smooth(values, sigma, axis)
    return Image.fromarray(values.astype(np.uint8))


def widened(mask: Image.Image) -> Image.Image:
    """Double the brightness, so that a soft edge lies wholly outside of what was masked."""
    return mask.point([min(2 * value, 255) for value in range(256)])


def region(mask: Image.Image, padding: int) -> Box | None:
    """Return the box around everything that is not black, with a margin inside the picture; None for a blank mask."""
    box = mask.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    return (
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, mask.width),
        min(bottom + padding, mask.height),
    )


def in_proportion(box: Box, wanted: tuple[int, int], image: tuple[int, int]) -> Box:
    """Widen a box to the proportions of a size, moving it so that it stays inside the picture where it can.

    Args:
        box: inside the picture.
        wanted: width and height that the crop is resized to.
        image: width and height of the picture.
    """
    left, top, right, bottom = box
    if (right - left) * wanted[1] > wanted[0] * (bottom - top):
        top, bottom = _grown(top, bottom, (right - left) / (wanted[0] / wanted[1]), image[1])
    else:
        left, right = _grown(left, right, (bottom - top) * (wanted[0] / wanted[1]), image[0])
    return left, top, right, bottom


def outside(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the picture where it is not masked, transparent elsewhere; RGBA."""
    return _kept(image, mask).convert("RGBA")


def filled(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Replace what is masked by its blurred surroundings; RGB."""
    kept = _kept(image, mask)
    result = Image.new("RGBA", image.size)
    for radius, times in BLURS:
        layer = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            result.alpha_composite(layer)
    return result.convert("RGB")


def overlaid(result: Image.Image, original: Image.Image) -> Image.Image:
    """Lay the kept part of the original over a result of the same size; RGB."""
    ground = result.convert("RGBA")
    ground.alpha_composite(original)
    return ground.convert("RGB")


def cut_out(result: Image.Image, mask: Image.Image) -> Image.Image:
    """Return what was painted, transparent outside of the mask; RGBA."""
    painted = result.convert("RGBA").convert("RGBa")
    return Image.composite(painted, Image.new("RGBa", result.size), mask.convert("L")).convert("RGBA")


def inverted(mask: Image.Image) -> Image.Image:
    """Swap what is masked and what is not."""
    return ImageChops.invert(mask)


def _kept(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the unmasked part with its colours multiplied by its opacity, so that blurring mixes only what shows."""
    kept = Image.new("RGBa", image.size)
    kept.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    return kept


def _smooth(values: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """Convolve along one axis with a normal curve cut at 2.5 sigma; borders are mirrored about their last pixel."""
    weights = whole_weights(sigma)
    reach, length = len(weights) // 2, values.shape[axis]
    margin = [(reach, reach) if i == axis else (0, 0) for i in range(2)]
    padded = np.pad(values, margin, mode="reflect" if length > 1 else "edge")
    rows = [np.take(padded, range(shift, shift + length), axis) * weight for shift, weight in enumerate(weights)]
    return (np.sum(rows, axis=0) + HALF) >> 8


def whole_weights(sigma: float) -> list[int]:
    """Return a normal curve cut at 2.5 sigma in 256ths that add up to 256.

    What rounding takes from a weight goes to its neighbour nearer the middle, as in OpenCV's blur of 8-bit pictures.
    A pixel of the latent that a mask covers by half is decided by the last bit, so the mask has to be exact.
    """
    reach = int(2.5 * sigma + 0.5)
    curve = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    curve *= 256 / curve.sum()
    side: list[int] = []
    left_over = 0.0
    for wanted in curve[:reach].tolist():
        side.append(round(wanted + left_over))
        left_over += wanted - side[-1]
    return [*side, 256 - 2 * sum(side), *reversed(side)]


def _grown(low: int, high: int, wanted: float, limit: int) -> tuple[int, int]:
    """Lengthen low..high to `wanted` evenly, moved back inside 0..limit, cut where it is longer than that."""
    more = int(wanted - (high - low))
    low, high = low - more // 2, high + more - more // 2
    if high >= limit:
        low, high = low - (high - limit), limit
    if low < 0:
        low, high = 0, high - low
    return low, min(high, limit)
