"""CFG++: go down to the guided estimate, and back up along the noise estimated without the prompt.

Guidance then stays on the manifold of clean latents, so its scale is between 0 and about 1.

Source: Chung et al. 2024, arXiv:2406.08070.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from modules.sampling.noise import no_noise
from modules.sampling.steps import ancestral, at, done, draw, levels, slope
from modules.sampling.timesteps import Unconditional
from modules.sampling.types import Denoise, Noise, Step


def euler_cfgpp(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    unconditional: Unconditional | None,
    noise: Noise = no_noise,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """First-order sampler; with eta it is ancestral.

    Args:
        denoise: the guided denoiser.
        x: [B, C, h, w] at sigmas[0].
        sigmas: [N + 1] falling levels.
        unconditional: the estimate without the prompt of the latest call; None uses the guided one.
        noise: unit noise.
        eta: 0 .. 1, how much of each step is renewed noise.
        s_noise: multiplies the noise.

    Source: arXiv:2406.08070, Algorithm 2, on the sigma scale.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        down, up = ancestral(sigma, sigma_next, eta)
        x = torch.add(x0, slope(x, unconditional() if unconditional else x0, sigma), alpha=down)
        if up:
            x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, x0)


def dpmpp_2m_cfgpp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, unconditional: Unconditional | None
) -> Iterator[Step]:
    """Second-order multistep sampler whose extrapolation, too, is of the estimates without the prompt.

    Source: arXiv:2406.08070, appendix, DPM++ 2M; arXiv:2211.01095, Algorithm 2.
    """
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, sigma_next) in enumerate(pairwise(levels(sigmas))):
        x0 = denoise(x, at(x, sigma))
        plain = unconditional() if unconditional else x0
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            x = torch.add(x0, x - plain, alpha=sigma_next / sigma)
            if before is not None:
                x = torch.add(x, plain - before, alpha=-math.expm1(-h) * h / (2 * h_before))
            h_before = h
        before = plain
        yield done(i, sigma_next, x, x0)
