"""Integrals of polynomials against a smooth weight, for multistep samplers."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

NUM_NODES = 24
"""Exact for polynomials of degree 47; ample for exponentials over the widest steps in use."""


def lagrange_weights(
    nodes: Sequence[float], start: float, end: float, density: Callable[[float], float]
) -> list[float]:
    """Integrate from start to end, times a density, each polynomial that is 1 at one node and 0 at the others."""
    weights = [0.0] * len(nodes)
    for u, share in _points(start, end):
        scaled = share * density(u)
        for j, node in enumerate(nodes):
            value = scaled
            for k, other in enumerate(nodes):
                if k != j:
                    value *= (u - other) / (node - other)
            weights[j] += value
    return weights


def integral(function: Callable[[float], float], start: float, end: float) -> float:
    """Integrate a smooth function."""
    return sum(share * function(u) for u, share in _points(start, end))


def _points(start: float, end: float) -> list[tuple[float, float]]:
    """Return (position, share) of the Gauss-Legendre rule between two ends."""
    middle, half = (start + end) / 2, (end - start) / 2
    return [(middle + half * u, half * share) for u, share in _rule()]


@cache
def _rule() -> tuple[tuple[float, float], ...]:
    positions, shares = np.polynomial.legendre.leggauss(NUM_NODES)
    return tuple((float(u), float(share)) for u, share in zip(positions, shares, strict=True))
