"""Samplers that go further down than the next level and come back up with fresh noise."""

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from modules.sampling.ode import midpoint_step
from modules.sampling.steps import ancestral, at, done, draw, levels, slope
from modules.sampling.types import Denoise, Noise, Step


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """First-order ancestral sampler.

    Source: Song et al. 2020, arXiv:2010.02502, with eta, on the sigma scale of arXiv:2206.00364.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        down, up = ancestral(sigma, sigma_next, eta)
        x = x + slope(x, x0, sigma) * (down - sigma)
        if sigma_next > 0:
            x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, x0)


def dpm2_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Second-order ancestral sampler with the slope at the geometric middle.

    Source: Lu et al. 2022, arXiv:2206.00927, DPM-Solver-2, down to the ancestral level.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        down, up = ancestral(sigma, sigma_next, eta)
        x, x0 = midpoint_step(denoise, x, sigma, down)
        if down > 0:
            x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, x0)


def dpmpp_2s_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Second-order single-step ancestral sampler.

    Source: Lu et al. 2022, arXiv:2211.01095, Algorithm 1 with r = 1/2, down to the ancestral level.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        down, up = ancestral(sigma, sigma_next, eta)
        if down == 0:
            x = x + slope(x, x0, sigma) * (down - sigma)
        else:
            h = math.log(sigma / down)
            middle = math.sqrt(sigma * down)
            halfway = (middle / sigma) * x - math.expm1(-h / 2) * x0
            x = (down / sigma) * x - math.expm1(-h) * denoise(halfway, at(x, middle))
        if sigma_next > 0:
            x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, x0)


def ddpm(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise) -> Iterator[Step]:
    """Draw each level from the posterior of the forward process, given the estimate.

    Source: Ho et al. 2020, arXiv:2006.11239, Algorithm 2 with the variance of equation 7, on the sigma scale.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        kept = (sigma_next / sigma) ** 2
        x = kept * x + (1 - kept) * x0
        if sigma_next > 0:
            x = x + draw(noise, sigma, sigma_next) * (sigma_next * math.sqrt(1 - kept))
        yield done(i, sigma_next, x, x0)


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise) -> Iterator[Step]:
    """Sampler of consistency models: jump to the estimate, then back to the next level with fresh noise.

    Source: Luo et al. 2023, arXiv:2310.04378, Algorithm 3.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        x = x0 + draw(noise, sigma, sigma_next) * sigma_next if sigma_next > 0 else x0
        yield done(i, sigma_next, x, x0)
