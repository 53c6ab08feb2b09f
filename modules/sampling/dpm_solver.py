"""DPM-Solver with its own levels: DPM fast (a fixed number of calls) and DPM adaptive (a tolerance).

Source: Lu et al. 2022, arXiv:2206.00927.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.sampling.steps import ancestral, at, done, draw, levels, slope
from modules.sampling.types import Denoise, Noise, Step

RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.0078
FIRST_STEP = 0.05
ACCEPT_FROM = 0.81
END_SLACK = 1e-5


class Stage:
    """One interval: the slopes found on the way are kept, since solvers of different orders share them."""

    def __init__(self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> None:
        self.denoise, self.x, self.sigma, self.sigma_next = denoise, x, sigma, sigma_next
        self.h = math.log(sigma / sigma_next)
        self.x0 = denoise(x, at(x, sigma))
        self.d = slope(x, self.x0, sigma)
        self._inner: dict[float, Tensor] = {}

    def first(self) -> Tensor:
        """Return x after a first-order step (DPM-Solver-1)."""
        return self._linear(1.0)

    def second(self, r1: float = 1 / 2) -> Tensor:
        """Return x after a second-order step (DPM-Solver-2, equation 4.2)."""
        bend = self._slope_at(r1, self._linear(r1)) - self.d
        return self._linear(1.0) - bend * (self.sigma_next * math.expm1(self.h) / (2 * r1))

    def third(self, r1: float = 1 / 3, r2: float = 2 / 3) -> Tensor:
        """Return x after a third-order step (DPM-Solver-3, Algorithm 2)."""
        early = self._slope_at(r1, self._linear(r1)) - self.d
        weight = (r2 / r1) * self._level(r2) * (math.expm1(r2 * self.h) / (r2 * self.h) - 1)
        late = self._slope_at(r2, self._linear(r2) - early * weight) - self.d
        return self._linear(1.0) - late * (self.sigma_next / r2 * (math.expm1(self.h) / self.h - 1))

    def _level(self, part: float) -> float:
        return self.sigma * math.exp(-part * self.h)

    def _linear(self, part: float) -> Tensor:
        """Follow the first slope over a part of the interval."""
        return self.x - self.d * (self._level(part) * math.expm1(part * self.h))

    def _slope_at(self, part: float, x: Tensor) -> Tensor:
        if part not in self._inner:
            level = self._level(part)
            self._inner[part] = slope(x, self.denoise(x, at(x, level)), level)
        return self._inner[part]


def _ends(sigmas: Tensor) -> tuple[float, float]:
    """Return the highest level and the lowest above zero."""
    positive = [s for s in levels(sigmas) if s > 0]
    return positive[0], positive[-1]


def _jump(denoise: Denoise, x: Tensor, sigma: float) -> Step:
    """Go straight to the estimate, where there is a single level and so no interval to solve."""
    x0 = denoise(x, at(x, sigma))
    return done(0, 0.0, x0, x0)


def _down(sigma: float, sigma_next: float, last: float, eta: float) -> tuple[float, float]:
    """Split a step like `ancestral`, but never below the last level."""
    down = max(ancestral(sigma, sigma_next, eta)[0], last)
    return down, math.sqrt(max(sigma_next**2 - down**2, 0.0))


def dpm_fast(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 0.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Sampler that spends len(sigmas) - 1 calls on third-order steps, evenly spaced in log sigma, and a rest.

    Only the ends of `sigmas` are used. Source: arXiv:2206.00927, section 3.4, DPM-Solver-fast.
    """
    high, low = _ends(sigmas)
    if high == low:
        yield _jump(denoise, x, high)
        return
    calls = len(sigmas) - 1
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    walk = [high * (low / high) ** (i / count) for i in range(count)] + [low]
    for i, (order, sigma, sigma_next) in enumerate(zip(orders, walk[:-1], walk[1:], strict=True)):
        down, up = _down(sigma, sigma_next, low, eta)
        stage = Stage(denoise, x, sigma, down)
        x = stage.first() if order == 1 else stage.second() if order == 2 else stage.third()
        x = x + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(i, sigma_next, x, stage.x0)


@dataclass(slots=True)
class StepSize:
    """Integral controller of the step width in log sigma."""

    width: float
    order: float

    def accept(self, error: float) -> bool:
        """Judge a step by its error (1 is the tolerance) and choose the next width."""
        factor = 1 + math.atan((error + 1e-8) ** (-1 / self.order) - 1)
        self.width *= factor
        return factor >= ACCEPT_FROM


def dpm_adaptive(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise, eta: float = 0.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Sampler that chooses its steps by comparing the solvers of order two and three.

    Only the ends of `sigmas` are used. The error is that of the whole batch, so here the steps of a picture do
    depend on its neighbours, and each step waits for the device. A rejected try yields its unchanged `x`.

    Source: arXiv:2206.00927, appendix C, DPM-Solver-23; controller after Soderlind 2003.
    """
    high, low = _ends(sigmas)
    if high == low:
        yield _jump(denoise, x, high)
        return
    now, end = -math.log(high), -math.log(low)
    size = StepSize(FIRST_STEP, 1.5 if eta else 3)
    reference = x
    index = 0
    while now < end - END_SLACK:
        ahead = min(end, now + size.width)
        sigma, sigma_next = math.exp(-now), math.exp(-ahead)
        down, up = _down(sigma, sigma_next, low, eta)
        stage = Stage(denoise, x, sigma, down)
        coarse, fine = stage.second(1 / 3), stage.third()
        allowed = (torch.maximum(coarse.abs(), reference.abs()) * RELATIVE_TOLERANCE).clamp(min=ABSOLUTE_TOLERANCE)
        error = float(((coarse - fine) / allowed).square().mean().sqrt())
        if size.accept(error):
            reference, now = coarse, ahead
            x = fine + draw(noise, sigma, sigma_next) * (s_noise * up)
        yield done(index, math.exp(-now), x, stage.x0)
        index += 1
