"""The percentile filter against a numerical integral of the sorted stack."""

import numpy as np
import pytest

from modules.imaging.percentile import bell, percentile_mean


def integral(values: np.ndarray, weights: np.ndarray, row: int, column: int, low: float, high: float) -> float:
    """Sample the stack of one place at many heights."""
    reach = weights.shape[0] // 2
    found = [
        (values[y, x], weights[y - row + reach, x - column + reach])
        for y in range(max(row - reach, 0), min(row + reach + 1, values.shape[0]))
        for x in range(max(column - reach, 0), min(column + reach + 1, values.shape[1]))
    ]
    found.sort()
    tops = np.cumsum([weight for _, weight in found])
    start, end = low * tops[-1], high * tops[-1]
    if end - start < 1:
        start = min(max((start + end) / 2 - 0.5, 0), max(tops[-1] - 1, 0))
        end = start + 1
    heights = np.linspace(start, end, 20001)[:-1] + (end - start) / 40000
    return float(np.mean([found[i][0] for i in np.searchsorted(tops, heights).clip(max=len(found) - 1)]))


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.0), (0.25, 0.75), (0.5, 0.5), (0.0, 0.1), (0.0, 1.0)])
def test_it_is_the_mean_of_a_part_of_the_stack(low: float, high: float) -> None:
    values, weights = np.random.default_rng(3).random((5, 7)), bell(2, 1.5)
    ours = percentile_mean(values, weights, low, high)
    for row, column in ((0, 0), (2, 3), (4, 6), (1, 0)):
        assert ours[row, column] == pytest.approx(integral(values, weights, row, column, low, high), abs=1e-3)


def test_flat_values_stay_and_single_ones_vanish() -> None:
    flat, weights = np.full((6, 6), 3.0, np.float32), bell(2, 1.5)
    assert percentile_mean(flat, weights, 0.9, 1).dtype == np.float32
    assert np.allclose(percentile_mean(flat, weights, 0.9, 1), 3)
    speck = np.zeros((6, 6))
    speck[3, 3] = 1
    assert np.allclose(percentile_mean(speck, weights, 0.25, 0.75), 0)
    assert (percentile_mean(speck, weights, 0.9, 1)[2:5, 2:5] > 0).all()


def test_the_weights_fall_to_nothing_just_outside() -> None:
    weights = bell(2, 1.5)
    assert weights[2, 2] == 1
    assert weights[2, 0] < 0.2
    assert np.array_equal(weights, weights.T[::-1])
    wider = bell(3, 1.5)
    assert wider[3, 3] == 1
    assert wider[3, 0] < weights[2, 0]
