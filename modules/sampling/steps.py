"""What every sampler shares: levels as host numbers, the slope of the path, and the split of a noisy step."""

import math

import torch
from torch import Tensor

from modules.sampling.types import Noise, Step


def levels(sigmas: Tensor) -> list[float]:
    """Return a schedule as host numbers, so that no step has to ask the device."""
    return [float(sigma) for sigma in sigmas.cpu()]


def at(x: Tensor, sigma: float) -> Tensor:
    """Return the level as the [B] that a denoiser takes, made on the device without a transfer."""
    return x.new_full((x.shape[0],), sigma)


def slope(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    """Return dx / dsigma of the probability-flow ODE. Source: Karras et al. 2022, arXiv:2206.00364, equation 3."""
    return (x - x0).div_(sigma)


def draw(noise: Noise, sigma: float, sigma_next: float) -> Tensor:
    """Ask for the unit noise of an interval."""
    return noise(torch.tensor(sigma), torch.tensor(sigma_next))


def done(index: int, sigma: float, x: Tensor, denoised: Tensor) -> Step:
    """Report an interval whose end is `sigma`."""
    return Step(index, torch.tensor(sigma), x, denoised)


def ancestral(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Split a step into going down deterministically and coming back up with noise.

    Returns:
        (level to go down to, standard deviation of the noise to add); their squares sum to sigma_next squared.

    Source: Song et al. 2020, arXiv:2010.02502, equation 16, in terms of sigma.
    """
    up = min(sigma_next, eta * math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)) if eta else 0.0
    return math.sqrt(sigma_next**2 - up**2), up


class Churn:
    """Raise the level a little before each step and fill the gap with noise.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2.
    """

    def __init__(self, noise: Noise, num_steps: int, churn: float, tmin: float, tmax: float, scale: float) -> None:
        self.noise, self.scale, self.tmin, self.tmax = noise, scale, tmin, tmax
        self.gamma = min(churn / num_steps, math.sqrt(2) - 1) if churn > 0 else 0.0

    def __call__(self, x: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
        """Return (x at the raised level, that level)."""
        if not self.gamma:
            return x, sigma
        # Drawn for every step, also outside the window: which values later steps get must not depend on it.
        eps = draw(self.noise, sigma, sigma_next)
        if not self.tmin <= sigma <= self.tmax:
            return x, sigma
        raised = sigma * (1 + self.gamma)
        return x + eps * (self.scale * math.sqrt(raised**2 - sigma**2)), raised
