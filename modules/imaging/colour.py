"""Give one picture the colours of another."""

import numpy as np
from PIL import Image

_TO_XYZ = np.array([
    [0.412453, 0.357580, 0.180423],
    [0.212671, 0.715160, 0.072169],
    [0.019334, 0.119193, 0.950227],
])  # fmt: skip
"""Linear sRGB to CIE XYZ, D65."""
_WHITE = np.array([0.950456, 1.0, 1.088754])
_LUMA = np.array([0.3, 0.59, 0.11])
_CUT = 0.008856


def with_colours_of(image: Image.Image, model: Image.Image) -> Image.Image:
    """Match the distribution of lightness and colour of a picture to that of another; keep its own luminosity.

    Args:
        image: RGB.
        model: RGB, of any size.

    Source: Gonzalez and Woods, Digital Image Processing, histogram specification, on each axis of 8-bit CIE L*a*b*.
    """
    ours, wanted = to_lab(image), to_lab(model)
    matched = np.stack([matched_channel(ours[..., i], wanted[..., i]) for i in range(3)], axis=-1)
    return with_luminosity(from_lab(matched), image)


def matched_channel(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Map uint8 values so that their cumulative distribution becomes that of `wanted`."""
    have = np.bincount(values.ravel(), minlength=256)
    want = np.bincount(wanted.ravel(), minlength=256)
    levels = np.flatnonzero(want)
    quantiles = np.cumsum(want)[levels] / wanted.size
    table = np.interp(np.cumsum(have) / values.size, quantiles, levels)
    return table[values].astype(np.uint8)


def to_lab(image: Image.Image) -> np.ndarray:
    """Convert RGB to 8-bit L*a*b*: L scaled to 0..255, a and b moved by 128; [H, W, 3] uint8."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    root = np.where(xyz > _CUT, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness = np.where(xyz[..., 1] > _CUT, 116 * root[..., 1] - 16, 903.3 * xyz[..., 1])
    a, b = 500 * (root[..., 0] - root[..., 1]), 200 * (root[..., 1] - root[..., 2])
    return np.stack([lightness * 2.55, a + 128, b + 128], axis=-1).round().clip(0, 255).astype(np.uint8)


def from_lab(lab: np.ndarray) -> Image.Image:
    """Convert 8-bit L*a*b* [H, W, 3] back to RGB."""
    lightness, a, b = np.moveaxis(lab.astype(np.float64), -1, 0)
    lightness, a, b = lightness / 2.55, a - 128, b - 128
    dark = lightness <= 8
    y = np.where(dark, lightness / 903.3, ((lightness + 16) / 116) ** 3)
    fy = np.where(dark, 7.787 * y + 16 / 116, (lightness + 16) / 116)
    roots = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 16 / 116) / 7.787)
    xyz[..., 1] = y
    linear = (xyz * _WHITE @ np.linalg.inv(_TO_XYZ).T).clip(0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return Image.fromarray((rgb * 255).round().clip(0, 255).astype(np.uint8))


def with_luminosity(image: Image.Image, source: Image.Image) -> Image.Image:
    """Keep hue and saturation of a picture and take the luminosity of another of the same size; RGB.

    Source: ISO 32000-1, 11.3.5.3, blend mode Luminosity.
    """
    colours = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    light = (np.asarray(source.convert("RGB"), dtype=np.float64) / 255) @ _LUMA
    moved = colours + (light - colours @ _LUMA)[..., None]
    level = (moved @ _LUMA)[..., None]
    low, high = moved.min(axis=-1, keepdims=True), moved.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        raised = np.where(low < 0, level + (moved - level) * level / (level - low), moved)
        cut = np.where(high > 1, level + (raised - level) * (1 - level) / (high - level), raised)
    return Image.fromarray((np.nan_to_num(cut) * 255).clip(0, 255).astype(np.uint8))
