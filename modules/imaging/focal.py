"""Find what a picture is about without a network: where its corners are, and where there is most to see.

Source for corners: J. Shi and C. Tomasi, "Good Features to Track", CVPR 1994 (the smaller eigenvalue of the structure
tensor).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from modules.imaging.resize import Box

Floats = NDArray[np.float64]
MAX_CORNERS = 100
LEAST_CORNER = 0.05
"""Share of the strongest corner that others must have to count."""
SMOOTHING_PX = 2.0
WINDOW_STEP_PX = 4
DEBUG_COLOUR = "#ff3b30"


def covering(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture scaled so that it just covers a size; RGB."""
    scale = max(size[0] / image.width, size[1] / image.height)
    wanted = max(size[0], round(image.width * scale)), max(size[1], round(image.height * scale))
    plain = image.convert("RGB")
    return plain if plain.size == wanted else plain.resize(wanted, Image.Resampling.LANCZOS)


def focal_box(image: Image.Image, size: tuple[int, int], *, edges: float, entropy: float) -> Box:
    """Return the part of a picture that is kept when it is cropped to a size.

    Args:
        image: at least as large as the size.
        size: width and height that are kept, pixels.
        edges: weight of where the corners are.
        entropy: weight of where there is most to see. With both 0 the centre is kept.
    """
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    points = [(edges, corner_centre(grey)), (entropy, fullest_centre(grey, size))]
    found = [(weight, point) for weight, point in points if weight > 0 and point is not None]
    whole = sum(weight for weight, _ in found)
    centre = (image.width / 2, image.height / 2)
    if whole > 0:
        centre = (
            sum(weight * point[0] for weight, point in found) / whole,
            sum(weight * point[1] for weight, point in found) / whole,
        )
    left = min(max(0, round(centre[0] - size[0] / 2)), image.width - size[0])
    top = min(max(0, round(centre[1] - size[1] / 2)), image.height - size[1])
    return left, top, left + size[0], top + size[1]


def corner_centre(grey: Floats) -> tuple[float, float] | None:
    """Return the middle (x, y) of the strongest corners, weighted by their strength; None where there are none.

    Args:
        grey: [H, W] in 0..255.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    if min(grey.shape) < 2:
        return None
    down, across = np.gradient(grey)
    xx, yy, xy = (gaussian_filter(one, SMOOTHING_PX) for one in (across * across, down * down, across * down))
    response = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    peaks = (response == maximum_filter(response, size=7)) & (response > max(1e-6, response.max() * LEAST_CORNER))
    rows, columns = np.nonzero(peaks)
    if len(rows) == 0:
        return None
    strength = response[rows, columns]
    best = np.argsort(strength)[-MAX_CORNERS:]
    weights = strength[best] / strength[best].sum()
    return float((columns[best] * weights).sum()), float((rows[best] * weights).sum())


def fullest_centre(grey: Floats, size: tuple[int, int]) -> tuple[float, float]:
    """Return the middle (x, y) of the part of a size whose brightness has the most entropy.

    Args:
        grey: [H, W] in 0..255; as large as the size in one direction.
        size: width and height of the part, pixels.
    """
    height, width = grey.shape
    lefts, tops = (range(0, most + 1, WINDOW_STEP_PX) for most in (width - size[0], height - size[1]))
    values = grey.astype(np.uint8)
    parts = [(left, top) for left in lefts for top in tops]
    scores = [_entropy(values[top : top + size[1], left : left + size[0]]) for left, top in parts]
    # Of equal parts the middle one, so that a plain picture is cut around its centre.
    best = [part for part, score in zip(parts, scores, strict=True) if score >= max(scores) - 1e-9]
    left, top = best[len(best) // 2]
    return left + size[0] / 2, top + size[1] / 2


def _entropy(values: NDArray[np.uint8]) -> float:
    counts = np.bincount(values.ravel(), minlength=256)
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log2(shares)).sum())


def framed(image: Image.Image, box: Box) -> Image.Image:
    """Return a copy with a frame around a part."""
    shown = image.copy()
    ImageDraw.Draw(shown).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=DEBUG_COLOUR, width=2)
    return shown
