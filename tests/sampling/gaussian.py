"""Gaussian data, for which the ideal denoiser is linear and the probability-flow ODE has a closed form."""

import math
from collections import deque

import torch

CPU = torch.device("cpu")
SPREAD = 0.7
"""Standard deviation of the data."""
START = torch.linspace(-12, 12, 16, dtype=torch.float64).view(2, 2, 2, 2)


def ideal(x, sigma):
    """Return the posterior mean of the data given x at sigma [B]."""
    return x * SPREAD**2 / (SPREAD**2 + sigma.view(-1, 1, 1, 1) ** 2)


def falling(steps, high=10.0, low=0.1):
    """Return steps + 1 levels, evenly spaced in log sigma, without a final zero."""
    return torch.linspace(math.log(high), math.log(low), steps + 1, dtype=torch.float64).exp()


def exact(start, sigmas):
    """Return where the ODE takes `start` from the first level to the last."""
    first, last = float(sigmas[0]), float(sigmas[-1])
    return start * math.sqrt((SPREAD**2 + last**2) / (SPREAD**2 + first**2))


def last(steps):
    """Return the final step of a run."""
    return deque(steps, maxlen=1)[0]
