"""The DPM-Solver++ samplers: exact in the linear part, polynomial in the estimate of x0."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from modules.sampling.steps import ancestral, at, done, draw, levels
from modules.sampling.types import Denoise, Noise, Step


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Second-order multistep sampler; the first step and the step to 0 are first order.

    Source: Lu et al. 2022, arXiv:2211.01095, Algorithm 2.
    """
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            ahead = x0 if before is None else torch.add(x0, x0 - before, alpha=h / (2 * h_before))
            x = torch.add(x * (sigma_next / sigma), ahead, alpha=-math.expm1(-h))
            h_before = h
        before = x0
        yield done(i, sigma_next, x, x0)


def dpmpp_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Second-order single-step sampler of the SDE; noise enters at the middle and at the end of each step.

    Source: Lu et al. 2022, arXiv:2211.01095, Algorithm 1 with r = 1/2, each half down to its ancestral level.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        if sigma_next == 0:
            x = x0
        else:
            middle = math.sqrt(sigma * sigma_next)
            down, up = ancestral(sigma, middle, eta)
            halfway = (down / sigma) * x + (1 - down / sigma) * x0
            halfway = halfway + draw(noise, sigma, middle) * (s_noise * up)
            ahead = denoise(halfway, at(x, middle))
            down, up = ancestral(sigma, sigma_next, eta)
            x = (down / sigma) * x + (1 - down / sigma) * ahead
            x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, x0)


def dpmpp_2m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver: Literal["midpoint", "heun"] = "midpoint",
) -> Iterator[Step]:
    """Second-order multistep sampler of the SDE; the step to 0 is the estimate itself.

    Source: Lu et al. 2022, arXiv:2211.01095, appendix on SDE-DPM-Solver++(2M).
    """
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            total = h * (1 + eta)
            reach = -math.expm1(-total)
            x = math.exp(-total) * x + reach * x0
            if before is not None:
                weight = reach / 2 if solver == "midpoint" else 1 - reach / total
                x = x + (x0 - before) * (weight * h / h_before)
            if eta:
                x = x + draw(noise, sigma, sigma_next) * _sde_spread(sigma_next, h, eta, s_noise)
            h_before = h
        before = x0
        yield done(i, sigma_next, x, x0)


def dpmpp_3m_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Third-order multistep sampler of the SDE; the step to 0 is the estimate itself.

    Source: the exponential integrator of arXiv:2211.01095 with a quadratic through the last three estimates.
    """
    past: list[tuple[Tensor, float]] = []  # (estimate, width of the step that used it), newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            total = h * (1 + eta)
            x = math.exp(-total) * x - math.expm1(-total) * x0 + _curvature(x0, past, h, total)
            if eta:
                x = x + draw(noise, sigma, sigma_next) * _sde_spread(sigma_next, h, eta, s_noise)
            past = [(x0, h), *past][:2]
        yield done(i, sigma_next, x, x0)


def _curvature(x0: Tensor, past: list[tuple[Tensor, float]], h: float, total: float) -> Tensor | float:
    """Return what the slope and curvature of the past estimates add to a first-order step."""
    if not past:
        return 0.0
    phi_2 = math.expm1(-total) / total + 1
    r0 = past[0][1] / h
    slope = (x0 - past[0][0]) / r0
    if len(past) == 1:
        return phi_2 * slope
    r1 = past[1][1] / h
    bend = (slope - (past[0][0] - past[1][0]) / r1) / (r0 + r1)
    return phi_2 * (slope + bend * r0) - (phi_2 / total - 0.5) * bend


def _sde_spread(sigma_next: float, h: float, eta: float, s_noise: float) -> float:
    """Return the standard deviation of the noise that enters over a step of width h in log sigma."""
    return sigma_next * math.sqrt(-math.expm1(-2 * eta * h)) * s_noise
