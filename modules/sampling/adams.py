"""Multistep samplers that extrapolate the estimate of the noise, dx / dsigma, from the steps before."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from modules.sampling.quadrature import lagrange_weights
from modules.sampling.steps import at, done, levels, slope
from modules.sampling.timesteps import ADAMS_BASHFORTH
from modules.sampling.types import Denoise, Step

VP_FIRST_TIME = 1e-3
VP_SIGMA_MIN = 0.002
VP_SIGMA_MAX = 80.0
"""A variance-preserving process from time 0.001 at the lowest level to 1 at the highest, with betas linear in time."""
VP_LOG_MIN, VP_LOG_MAX = math.log1p(VP_SIGMA_MIN**2), math.log1p(VP_SIGMA_MAX**2)
BETA_SLOPE = 2 * (VP_LOG_MAX - VP_LOG_MIN / VP_FIRST_TIME) / (1 - VP_FIRST_TIME)
BETA_START = VP_LOG_MAX - BETA_SLOPE / 2


def ipndm(denoise: Denoise, x: Tensor, sigmas: Tensor, *, order: int = 4) -> Iterator[Step]:
    """Multistep sampler with the factors of equal steps; the first steps use fewer slopes, the step to 0 none.

    Source: Liu et al. 2022, arXiv:2202.09778, equation 12, without its warm-up as in Zhang and Chen 2022,
    arXiv:2204.13902, section 3.
    """
    slopes: list[Tensor] = []  # newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        slopes = [slope(x, x0, sigma), *slopes][:order]
        if sigma_next == 0:
            x = x0
        else:
            x = _along(x, ADAMS_BASHFORTH[len(slopes) - 1], slopes, sigma_next - sigma)
        yield done(i, sigma_next, x, x0)


def ipndm_v(denoise: Denoise, x: Tensor, sigmas: Tensor, *, order: int = 4) -> Iterator[Step]:
    """Multistep sampler with factors for the widths of the steps at hand.

    Source: Zhou et al. 2023, arXiv:2312.00094, and its released factors, which pictures depend on. From the third
    slope on they differ from those of Adams and Bashforth for variable steps, which `lms` has.
    """
    known = levels(sigmas)
    slopes: list[Tensor] = []  # newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(known)):
        x0 = denoise(x, at(x, sigma))
        slopes = [slope(x, x0, sigma), *slopes][:order]
        if sigma_next == 0:
            x = x0
        else:
            widths = [b - a for a, b in pairwise(known[i + 1 - len(slopes) : i + 2])][::-1]
            x = _along(x, varying_factors(widths), slopes, sigma_next - sigma)
        yield done(i, sigma_next, x, x0)


def varying_factors(widths: Sequence[float]) -> list[float]:
    """Return the factors of up to four slopes, newest first.

    Args:
        widths: of the step to take and of those before it, newest first; as many as there are slopes.
    """
    h, *before = widths
    factors = [1.0, 0.0, 0.0, 0.0]
    if before:
        ratio = h / before[0]
        factors[0] += ratio / 2
        factors[1] -= ratio / 2
    if len(before) > 1:
        a, b = before[:2]
        weight = (1 - h**2 / (3 * a * (a + b))) / 2
        factors = _plus(factors, weight, [1, -1 - a / b, a / b, 0])
    if len(before) > 2:
        a, b, c = before[:3]
        share = a * (a + b) / (b * (b + c))
        reach = h * (h + a) * (h + a + b) / (a * (a + b) * (a + b + c))
        weight = (1 - h / (3 * (h + a))) / 2 + (1 - h / (2 * (h + a))) * h / (6 * (h + a + b))
        last = [1, -1 - a / b - share, a / b + share * (1 + b / c), -share * a / b]
        factors = _plus(factors, weight * reach, last)
    return factors[: len(widths)]


def deis(denoise: Denoise, x: Tensor, sigmas: Tensor, *, order: int = 3) -> Iterator[Step]:
    """Multistep sampler: a polynomial in time through the last noise estimates, integrated exactly.

    Source: Zhang and Chen 2022, arXiv:2204.13902, tAB-DEIS, equation 15, with the time of a variance-preserving
    process that spans every level in use.
    """
    slopes: list[Tensor] = []  # newest first
    times: list[float] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        slopes = [slope(x, x0, sigma), *slopes][:order]
        times = [time_of(sigma), *times][:order]
        if sigma_next == 0:
            x = x0
        else:
            x = _along(x, lagrange_weights(times, times[0], time_of(sigma_next), _level_speed), slopes, 1.0)
        yield done(i, sigma_next, x, x0)


def time_of(sigma: float) -> float:
    """Return the time of a level: the root of beta_slope t^2 / 2 + beta_start t = log(1 + sigma^2)."""
    return (math.sqrt(BETA_START**2 + 2 * BETA_SLOPE * math.log1p(sigma**2)) - BETA_START) / BETA_SLOPE


def _level_speed(time: float) -> float:
    """Return dsigma / dtime."""
    variance = math.expm1(BETA_SLOPE * time**2 / 2 + BETA_START * time)
    return (BETA_SLOPE * time + BETA_START) * (variance + 1) / (2 * math.sqrt(variance))


def _along(x: Tensor, factors: Sequence[float], slopes: Sequence[Tensor], width: float) -> Tensor:
    """Add the weighted slopes over a width."""
    return x + torch.stack([d * (f * width) for f, d in zip(factors, slopes, strict=True)]).sum(0)


def _plus(factors: list[float], weight: float, more: Sequence[float]) -> list[float]:
    return [f + weight * m for f, m in zip(factors, more, strict=True)]
