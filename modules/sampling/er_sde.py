"""ER-SDE: solves a reverse SDE whose noise is chosen freely, here little at low levels and more at high ones.

Source: Cui et al. 2023, arXiv:2309.06169, Algorithm 3 in terms of sigma, with the noise scale of its section 5.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from modules.sampling.quadrature import integral
from modules.sampling.steps import at, done, draw, levels
from modules.sampling.types import Denoise, Noise, Step


def er_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, s_noise: float = 1.0, order: int = 3
) -> Iterator[Step]:
    """Multistep sampler of an SDE with an estimate of x0 that is up to quadratic in sigma; ends on the estimate.

    Args:
        denoise: the denoiser.
        x: [B, C, h, w] at sigmas[0].
        sigmas: [N + 1] falling levels.
        noise: unit noise.
        s_noise: multiplies the noise.
        order: 1 .. 3.
    """
    past: list[tuple[Tensor, Tensor | None, float]] = []  # (estimate, its slope, level), newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        slope = (x0 - past[0][0]) / (sigma - past[0][2]) if past and order > 1 else None
        if sigma_next == 0:
            x = x0
        else:
            kept = noise_scale(sigma_next) / noise_scale(sigma)
            x = kept * x + (1 - kept) * x0
            if slope is not None:
                x = x + slope * _reach(sigma, sigma_next, 1)
            if slope is not None and order > 2 and past[0][1] is not None:
                bend = (slope - past[0][1]) * (2 / (sigma - past[1][2]))
                x = x + bend * _reach(sigma, sigma_next, 2)
            spread = math.sqrt(max(sigma_next**2 - (kept * sigma) ** 2, 0.0))
            x = x + draw(noise, sigma, sigma_next) * (spread * s_noise)
        past = [(x0, slope, sigma), *past][:2]
        yield done(i, sigma_next, x, x0)


def noise_scale(sigma: float) -> float:
    """Return how much of x is kept at a level, up to a factor; its growth over sigma's own says how much noise enters."""
    return sigma * (math.exp(sigma**0.3) + 10)


def _reach(sigma: float, sigma_next: float, power: int) -> float:
    """Return the factor of the first or second derivative of the estimate over a step."""
    gap = sigma_next - sigma

    def part(log_level: float) -> float:
        level = math.exp(log_level)
        return (level - sigma) ** (power - 1) * level / noise_scale(level)

    return gap**power / power + noise_scale(sigma_next) * integral(part, math.log(sigma_next), math.log(sigma))
