"""Samplers that follow the probability-flow ODE in sigma, optionally with churn."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from modules.sampling.noise import no_noise
from modules.sampling.steps import Churn, at, done, levels, slope
from modules.sampling.types import Denoise, Noise, Step


def euler(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise = no_noise,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """First-order sampler.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2 without the second-order correction.
    """
    churn = Churn(noise, len(sigmas) - 1, s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x, raised = churn(x, sigma, sigma_next)
        x0 = denoise(x, at(x, raised))
        x = torch.add(x, x - x0, alpha=(sigma_next - raised) / raised)
        yield done(i, sigma_next, x, x0)


def heun(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise = no_noise,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Second-order sampler: Euler, then the average of the slopes at both ends; the step to 0 stays Euler.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2.
    """
    churn = Churn(noise, len(sigmas) - 1, s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x, raised = churn(x, sigma, sigma_next)
        x, x0 = heun_step(denoise, x, raised, sigma_next)
        yield done(i, sigma_next, x, x0)


def heun_step(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, Tensor]:
    """Take one step of Heun's method; returns (x at sigma_next, first estimate of x0)."""
    x0 = denoise(x, at(x, sigma))
    d = slope(x, x0, sigma)
    ahead = x + d * (sigma_next - sigma)
    if sigma_next == 0:
        return ahead, x0
    d_ahead = slope(ahead, denoise(ahead, at(x, sigma_next)), sigma_next)
    return x + (d + d_ahead) * ((sigma_next - sigma) / 2), x0


def dpm2(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise = no_noise,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Second-order sampler: the slope at the geometric middle carries the whole step; the step to 0 stays Euler.

    Source: Lu et al. 2022, arXiv:2206.00927, DPM-Solver-2, with the churn of arXiv:2206.00364.
    """
    churn = Churn(noise, len(sigmas) - 1, s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x, raised = churn(x, sigma, sigma_next)
        x, x0 = midpoint_step(denoise, x, raised, sigma_next)
        yield done(i, sigma_next, x, x0)


def midpoint_step(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, Tensor]:
    """Take one step with the slope at the geometric middle; returns (x at sigma_next, first estimate of x0)."""
    x0 = denoise(x, at(x, sigma))
    d = slope(x, x0, sigma)
    if sigma_next == 0:
        return x + d * (sigma_next - sigma), x0
    middle = math.sqrt(sigma * sigma_next)
    halfway = x + d * (middle - sigma)
    d_middle = slope(halfway, denoise(halfway, at(x, middle)), middle)
    return x + d_middle * (sigma_next - sigma), x0


def heunpp2(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Heun's method looking two levels ahead, with slopes weighted by their levels over the first one.

    The last step but one looks one level ahead, the last is Euler's. The weights make it first order.

    Source: arXiv:2206.00364, Algorithm 1, extended as in the Heun++ sampler for the web UI, which has no paper.
    """
    known = levels(sigmas)
    for i, (sigma, sigma_next) in enumerate(pairwise(known)):
        x0 = denoise(x, at(x, sigma))
        slopes, ahead = [slope(x, x0, sigma)], x
        nodes = known[i : min(i + 3, len(known) - 1)]
        for level, further in pairwise(nodes):
            ahead = ahead + slopes[-1] * (further - level)
            slopes.append(slope(ahead, denoise(ahead, at(x, further)), further))
        weights = [level / (len(nodes) * known[0]) for level in nodes[1:]]
        weights = [1 - sum(weights), *weights]
        x = x + torch.stack([w * d for w, d in zip(weights, slopes, strict=True)]).sum(0) * (sigma_next - sigma)
        yield done(i, sigma_next, x, x0)


def gradient_estimation(denoise: Denoise, x: Tensor, sigmas: Tensor, *, gamma: float = 2.0) -> Iterator[Step]:
    """Euler sampler whose slope is pushed past the newest one, away from the one before; the step to 0 is Euler's.

    Source: Permenter and Yuan 2023, arXiv:2306.04848, Algorithm 3.
    """
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        d = slope(x, x0, sigma)
        pushed = d if before is None or sigma_next == 0 else torch.lerp(before, d, gamma)
        x = x0 if sigma_next == 0 else x + pushed * (sigma_next - sigma)
        before = d
        yield done(i, sigma_next, x, x0)


def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, *, order: int = 4) -> Iterator[Step]:
    """Linear multistep sampler: extrapolates up to `order` past slopes by a polynomial in sigma.

    Source: Adams-Bashforth with variable steps; Liu et al. 2022, arXiv:2202.09778, for its use in diffusion.
    """
    known = levels(sigmas)
    slopes: list[Tensor] = []  # newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(known)):
        x0 = denoise(x, at(x, sigma))
        slopes = [slope(x, x0, sigma), *slopes][:order]
        weights = lagrange_integrals(known[i + 1 - len(slopes) : i + 1][::-1], sigma, sigma_next)
        x = x + torch.stack([w * d for w, d in zip(weights, slopes, strict=True)]).sum(0)
        yield done(i, sigma_next, x, x0)


def lagrange_integrals(nodes: list[float], start: float, end: float) -> list[float]:
    """Integrate from start to end each polynomial that is 1 at one node and 0 at the others, exactly."""
    centre = start  # moves the integration to 0 .. end - start, which keeps the powers small
    span = end - centre
    weights: list[float] = []
    for j, node in enumerate(nodes):
        coefficients = [1.0]  # lowest power first
        for k, other in enumerate(nodes):
            if k != j:
                a, b = 1 / (node - other), (centre - other) / (node - other)
                raised, same = [0.0, *coefficients], [*coefficients, 0.0]
                coefficients = [a * r + b * s for r, s in zip(raised, same, strict=True)]
        weights.append(sum(c * span ** (p + 1) / (p + 1) for p, c in enumerate(coefficients)))
    return weights
