"""Multistep samplers that are exact in the linear part and extrapolate the estimate of x0 in log sigma."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from modules.sampling.quadrature import lagrange_weights
from modules.sampling.steps import at, done, draw, levels
from modules.sampling.types import Denoise, Noise, Step

NOISE_FROM_SIGMA = 5.0924
NOISE_TO_SIGMA = 0.5712
"""SA-Solver adds noise between these: a fifth and four fifths of the way down Stable Diffusion's timesteps."""


def res_multistep(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Second-order multistep sampler; the first step and the step to 0 are first order.

    Source: Zhang et al. 2023, arXiv:2308.02157, the multistep variant of RES.
    """
    return _multistep(denoise, x, sigmas, order=2)


def dpmpp_3m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Third-order multistep sampler of the ODE; the first two steps and the step to 0 are of lower order.

    Source: Lu et al. 2022, arXiv:2211.01095, the expansion of its section 4.2 to the third order.
    """
    return _multistep(denoise, x, sigmas, order=3)


def _multistep(denoise: Denoise, x: Tensor, sigmas: Tensor, *, order: int) -> Iterator[Step]:
    past: list[tuple[Tensor, float]] = []  # (estimate, its level), newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        past = [(x0, sigma), *past][:order]
        x = x0 if sigma_next == 0 else _moved(x, past, sigma, sigma_next, rate=1.0)
        yield done(i, sigma_next, x, x0)


def sa_solver(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor: int = 3,
    corrector: int = 4,
) -> Iterator[Step]:
    """Stochastic Adams predictor and corrector; the corrector reuses the call that the next step needs anyway.

    Args:
        denoise: the denoiser.
        x: [B, C, h, w] at sigmas[0].
        sigmas: [N + 1] falling levels.
        noise: unit noise; predictor and corrector of a step share it.
        eta: tau of the paper between the levels where noise enters; 0 solves the ODE.
        s_noise: multiplies the noise.
        predictor: its order, at least 1.
        corrector: its order, at least 1.

    Source: Xue et al. 2023, arXiv:2309.05019, Algorithm 1 with data prediction; the step to 0 is the estimate itself.
    """
    before: tuple[Tensor, float, float, Tensor | float] | None = None  # (x, level, rate, noise) of the step before
    past: list[tuple[Tensor, float]] = []  # (estimate, its level), newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        past = [(x0, sigma), *past][: max(predictor, corrector)]
        if sigma_next == 0:
            yield done(i, sigma_next, x0, x0)
            return
        if before is not None:
            start, sigma_before, rate, added = before
            x = _moved(start, past[:corrector], sigma_before, sigma, rate=rate) + added
        tau = eta if NOISE_TO_SIGMA <= sigma_next <= NOISE_FROM_SIGMA else 0.0
        rate, added = 1 + tau**2, 0.0
        if tau:
            spread = sigma_next * math.sqrt(-math.expm1(-2 * tau**2 * math.log(sigma / sigma_next)))
            added = draw(noise, sigma, sigma_next) * (spread * s_noise)
        before = (x, sigma, rate, added)
        x = _moved(x, past[:predictor], sigma, sigma_next, rate=rate) + added
        yield done(i, sigma_next, x, x0)


def _moved(x: Tensor, past: Sequence[tuple[Tensor, float]], sigma: float, sigma_next: float, *, rate: float) -> Tensor:
    """Go from one level to the next with a polynomial in log sigma through the given estimates.

    Args:
        x: [B, C, h, w] at sigma.
        past: (estimate, its level).
        sigma: level of x.
        sigma_next: level to go to.
        rate: how fast x is replaced by the estimate per unit of log sigma; 1 follows the ODE.
    """
    h = math.log(sigma / sigma_next)
    nodes = [math.log(sigma / level) for _, level in past]
    weights = lagrange_weights(nodes, 0.0, h, partial(_replaced, rate, h))
    moved = torch.stack([x0 * w for (x0, _), w in zip(past, weights, strict=True)]).sum(0)
    return torch.add(moved, x, alpha=math.exp(-rate * h))


def _replaced(rate: float, h: float, position: float) -> float:
    return rate * math.exp(rate * (position - h))
