"""A filter between minimum, median and maximum: the mean of a range of percentiles around each value."""

import numpy as np


def bell(reach: int, width: float) -> np.ndarray:
    """Return weights [2 * reach + 1, 2 * reach + 1] that fall from 1 in the middle to 0 just outside.

    Args:
        reach: neighbours on each side.
        width: distance at which a normal curve has fallen to 1/e.
    """
    line = np.arange(-reach, reach + 1) ** 2
    curve = np.exp(-(line[:, None] + line[None]) / width**2)
    outside = np.exp(-((reach + 1) ** 2) / width**2)
    return np.maximum(curve - outside, 0) / (1 - outside)


def percentile_mean(values: np.ndarray, weights: np.ndarray, low: float, high: float) -> np.ndarray:
    """Replace each value by the mean of those of its neighbours that lie between two percentiles.

    Neighbours are stacked by size, each as thick as its weight; the mean is taken over the part of the stack between
    `low` and `high`, or, where that is thinner than one weight of 1, over a part of thickness 1 about its middle.

    Args:
        values: [H, W].
        weights: [2r + 1, 2r + 1]; neighbours beyond the border do not count.
        low: 0..1.
        high: 0..1, at least `low`.

    Returns:
        [H, W], the type of `values`.
    """
    stack, thickness = _neighbours(values, weights.shape[0] // 2), _weights_inside(values.shape, weights)
    order = np.argsort(stack, axis=-1, kind="stable")
    stack, thickness = np.take_along_axis(stack, order, -1), np.take_along_axis(thickness, order, -1)
    top = np.cumsum(thickness, axis=-1)  # [H, W, N]
    start, end = _part(top[..., -1:], low, high)
    share = (np.minimum(end, top) - np.maximum(start, top - thickness)).clip(0)
    return ((stack * share).sum(axis=-1) / share.sum(axis=-1)).astype(values.dtype)


def _part(total: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the wanted part of a stack of height `total` starts and ends."""
    start, end = total * low, total * high
    middle, thin = (start + end) / 2, end - start < 1
    start, end = np.where(thin, middle - 0.5, start), np.where(thin, middle + 0.5, end)
    over = thin & (end > total)
    start, end = np.where(over, total - 1, start), np.where(over, total, end)
    under = thin & (start < 0)
    return np.where(under, 0, start), np.where(under, 1, end)


def _neighbours(values: np.ndarray, reach: int) -> np.ndarray:
    """Return [H, W, N]: the values around each place, zeros beyond the border."""
    size = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach), (size, size))
    return windows.reshape(*values.shape, size * size)


def _weights_inside(shape: tuple[int, ...], weights: np.ndarray) -> np.ndarray:
    """Return [H, W, N]: the weights of the neighbours, 0 beyond the border."""
    inside = _neighbours(np.ones(shape), weights.shape[0] // 2)
    return inside * weights.ravel()
