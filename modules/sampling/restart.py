"""Restart sampling: go down, jump back up with fresh noise, go down again."""

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from modules.sampling.ode import heun_step
from modules.sampling.steps import done, draw, levels
from modules.sampling.types import Denoise, Noise, Step

RESTART_LOW = 0.1
RESTART_HIGH = 2.0
KARRAS_RHO = 7.0


def restart(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, s_noise: float = 1.0) -> Iterator[Step]:
    """Heun sampler that runs a low stretch of the levels again, once or twice, when it has 20 steps or more.

    Source: Xu et al. 2023, arXiv:2306.14878, Algorithm 1, with one restart interval between levels 0.1 and 2.
    """
    reached: float | None = None
    for i, (sigma, sigma_next) in enumerate(restart_intervals(levels(sigmas))):
        if reached is not None and reached < sigma:
            x = x + draw(noise, reached, sigma) * (s_noise * math.sqrt(sigma**2 - reached**2))
        x, x0 = heun_step(denoise, x, sigma, sigma_next)
        reached = sigma_next
        yield done(i, sigma_next, x, x0)


def restart_intervals(given: list[float]) -> list[tuple[float, float]]:
    """Return the intervals to walk: those of a shorter Karras schedule with the repeated stretches put in."""
    steps = len(given) - 1
    if steps < 20:
        return list(pairwise(given))
    width, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    main = [*_karras(steps - width * times, given[-2], given[0]), 0.0]
    low, high = _nearest(main, RESTART_LOW), _nearest(main, RESTART_HIGH)
    again = _karras(width + 1, main[low], main[high]) if high < low else []
    walk: list[tuple[float, float]] = []
    for i, interval in enumerate(pairwise(main)):
        walk.append(interval)
        if i + 1 == low:
            walk += list(pairwise(again)) * times
    return walk


def _nearest(points: list[float], wanted: float) -> int:
    return min(range(len(points)), key=lambda i: abs(points[i] - wanted))


def _karras(steps: int, low: float, high: float) -> list[float]:
    top, bottom = high ** (1 / KARRAS_RHO), low ** (1 / KARRAS_RHO)
    last = max(steps - 1, 1)
    return [(top + i / last * (bottom - top)) ** KARRAS_RHO for i in range(steps)]
