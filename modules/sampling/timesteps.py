"""Samplers that walk the model's own timesteps in variance-preserving space.

`x` arrives on the sigma scale and is divided by sqrt(1 + sigma^2) once. The levels end above zero, at the first
trained timesteps; the last Step holds the variance-preserving sample as it is, which is what is decoded.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from modules.sampling.noise import no_noise
from modules.sampling.prediction import SigmaTable
from modules.sampling.steps import at, done, draw, levels, slope
from modules.sampling.types import Denoise, Noise, Step

Unconditional = Callable[[], Tensor]
"""x0 [B, C, h, w] without the prompt, as of the latest call of the guided denoiser."""

ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def trained_timesteps(steps: int, n: int = 1000) -> list[int]:
    """Return 1, 1 + s, ... with s = n // steps, rising; longer than `steps` where that does not divide n."""
    return [min(t + 1, n - 1) for t in range(0, n, max(n // steps, 1))]


def trained_levels(table: SigmaTable, timesteps: list[int]) -> Tensor:
    """Return the falling levels of rising timesteps."""
    return table.sigmas[torch.tensor(timesteps[::-1], dtype=torch.long)]


def vp_scale(sigma: float) -> float:
    """Return the factor from variance-preserving space to the sigma scale."""
    return math.sqrt(1 + sigma**2)


def ddim(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise = no_noise,
    eta: float = 0.0,
    unconditional: Unconditional | None = None,
) -> Iterator[Step]:
    """First-order sampler; with eta 1 it is ancestral sampling.

    Args:
        unconditional: when given, the direction back to the noise is the one without the prompt (CFG++).

    Source: Song et al. 2020, arXiv:2010.02502, equation 12; Chung et al. 2024, arXiv:2406.08070, Algorithm 2.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        eps = slope(x, unconditional() if unconditional else x0, sigma)
        a, a_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        spread = eta * math.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
        vp = math.sqrt(a_next) * x0 + math.sqrt(max(1 - a_next - spread**2, 0.0)) * eps
        if spread:
            vp = vp + draw(noise, sigma, sigma_next) * spread
        x = vp * vp_scale(sigma_next)
        yield done(i, sigma_next, vp if i == len(sigmas) - 2 else x, x0)


def plms(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Fourth-order multistep sampler in the noise estimate, started by one step of Heun's method.

    Source: Liu et al. 2022, arXiv:2202.09778, equations 12 and 13.
    """
    past: list[Tensor] = []  # noise estimates, newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        past = [slope(x, x0, sigma), *past][:4]
        if len(past) == 1:
            ahead = x + past[0] * (sigma_next - sigma)
            eps = (past[0] + slope(ahead, denoise(ahead, at(x, sigma_next)), sigma_next)) / 2
        else:
            weights = ADAMS_BASHFORTH[len(past) - 1]
            eps = torch.stack([w * e for w, e in zip(weights, past, strict=True)]).sum(0)
        x0 = x - sigma * eps
        x = x + eps * (sigma_next - sigma)
        yield done(i, sigma_next, x / vp_scale(sigma_next) if i == len(sigmas) - 2 else x, x0)
