"""Noise that continues a picture: with its spectrum, and its colours under the mask.

Source: the published method of "outpainting mk2" by parlance-zz (g-diffuser-bot): random noise is weighted in the
Fourier domain by the spectrum of the unmasked picture, and its histogram is matched to that picture.
"""

import numpy as np
from numpy import fft

_SEED = 0
"""Fixed, so that the picture depends on the seed of the run alone."""
_AXES = (0, 1)


def with_matched_noise(
    picture: np.ndarray, mask: np.ndarray, *, exponent: float = 1.0, colour_variation: float = 0.05
) -> np.ndarray:
    """Replace the masked part of a picture by noise like the rest of it.

    Args:
        picture: [H, W, 3], 0..1.
        mask: [H, W, 3], 1 where noise is wanted.
        exponent: power of the picture's spectrum.
        colour_variation: 0 for grey noise, 1 for independent channels.

    Returns:
        [H, W, 3], 0..1.
    """
    kept = picture * (1 - mask)
    grey_mask = mask.mean(axis=2)
    spectrum = _transformed(_prepared(kept, mask, grey_mask))
    size = np.abs(spectrum)
    with np.errstate(divide="ignore", invalid="ignore"):
        phase = np.nan_to_num(spectrum / size)
    noise = _transformed(_noise(picture.shape, colour_variation))
    shaped = _restored(np.abs(noise) ** 2 * size**exponent * phase)
    shaped -= shaped.min()
    shaped /= shaped.max() or 1
    hidden, shown = grey_mask > 1e-6, grey_mask < 1e-3
    if shown.any():
        shaped[hidden] = matched(shaped[hidden], kept[shown])
    return (kept + shaped * mask).clip(0, 1)


def matched(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Map values [N, C] so that each channel gets the distribution of that channel of `wanted` [M, C]."""
    return np.stack([_matched(values[:, i], wanted[:, i]) for i in range(values.shape[1])], axis=1)


def _matched(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    levels, level_counts = np.unique(wanted, return_counts=True)
    quantiles = np.cumsum(counts) / values.size
    return np.interp(quantiles, np.cumsum(level_counts) / wanted.size, levels)[places]


def _prepared(kept: np.ndarray, mask: np.ndarray, grey_mask: np.ndarray) -> np.ndarray:
    """Return the picture as its spectrum is wanted: faded out under the mask, of full brightness, with its mean there."""
    faded = kept * (1 - grey_mask[..., None])
    return faded / (faded.max() or 1) + kept.mean() * mask


def _noise(shape: tuple[int, ...], colour_variation: float) -> np.ndarray:
    """Draw noise [H, W, 3] whose high frequencies are weak."""
    drawn = np.random.default_rng(_SEED).random(shape)
    mixed = drawn * colour_variation + drawn.mean(axis=2, keepdims=True) * (1 - colour_variation)
    return _restored(_transformed(mixed) * _window(shape[0], shape[1])[..., None])


def _window(height: int, width: int) -> np.ndarray:
    """Return the weights [H, W] of frequencies, 1 for the lowest, in the middle."""
    rows, columns = (
        1 / (((np.arange(side) / side * 2 - 1) * side / min(height, width)) ** 2 + 1) for side in (height, width)
    )
    return rows[:, None] * columns[None]


def _transformed(values: np.ndarray) -> np.ndarray:
    """Fourier transform of each channel, with the lowest frequency in the middle."""
    return fft.ifftshift(fft.fft2(fft.fftshift(values, axes=_AXES), axes=_AXES, norm="ortho"), axes=_AXES)


def _restored(spectrum: np.ndarray) -> np.ndarray:
    """Undo `_transformed`; the real part."""
    return np.real(fft.ifftshift(fft.ifft2(fft.fftshift(spectrum, axes=_AXES), axes=_AXES, norm="ortho"), axes=_AXES))
