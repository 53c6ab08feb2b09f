"""Brownian paths for samplers of stochastic differential equations, reproducible whatever intervals are asked for.

Source: Gaines and Lyons 1997, "Variable step size control in the numerical solution of stochastic differential
equations"; Kidger et al. 2021, arXiv:2105.13493, whose published seeding of the halving tree is followed.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from modules.sampling.noise import OpenStream
from modules.sampling.steps import levels

DECIMALS = 6
"""Times are rounded to this many digits, which bounds the depth of the tree."""
POOL_SIZE = 24
KEPT_DRAWS = 48


class BrownianPath:
    """One path over [low, high]: halves are drawn by the bridge, each from a seed that depends only on its place."""

    def __init__(self, shape: Sequence[int], low: float, high: float, seed: int, open_stream: OpenStream) -> None:
        self.shape, self.seed, self.open = tuple(shape), seed & 0xFFFFFFFFFFFFFFFF, open_stream
        self.low, self.high = round(low, DECIMALS), round(high, DECIMALS)
        self._kept: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        whole = np.random.SeedSequence(self.seed, pool_size=POOL_SIZE)
        self._whole = self.open(int(whole.generate_state(3)[0])).randn(self.shape) * math.sqrt(high - low)

    def increment(self, start: float, end: float) -> Tensor:
        """Return W(end) - W(start) for start < end; times outside the path are moved to its ends."""
        a, b = (round(min(max(t, self.low), self.high), DECIMALS) for t in (start, end))
        if a >= b:
            return torch.zeros_like(self._whole)
        parts: list[Tensor] = []
        pending = [(0, 0, self.low, self.high, a, b, self._whole)]
        while pending:
            key, depth, left, right, a, b, value = pending.pop()
            if a == left and b == right:
                parts.append(value)
                continue
            middle = round(0.5 * (right + left), DECIMALS)
            first = self._left_half(key, depth, left, middle, right, value)
            if b > middle:
                pending.append((2 * key + 1, depth + 1, middle, right, max(a, middle), b, value - first))
            if a < middle:
                pending.append((2 * key, depth + 1, left, middle, a, min(b, middle), first))
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _left_half(self, key: int, depth: int, left: float, middle: float, right: float, value: Tensor) -> Tensor:
        """Return the increment over [left, middle], given `value` over [left, right]."""
        kept = self._kept.get((key, depth))
        if kept is not None:
            self._kept.move_to_end((key, depth))
            return kept
        before, after, whole = middle - left, right - middle, right - left
        seeds = np.random.SeedSequence(self.seed, spawn_key=(key, depth), pool_size=POOL_SIZE)
        noise = self.open(int(seeds.generate_state(4)[0])).randn(self.shape)
        half = value * (before / whole) + noise * math.sqrt(before * after / whole)
        self._kept[(key, depth)] = half
        if len(self._kept) > KEPT_DRAWS:
            self._kept.popitem(last=False)
        return half


class BrownianNoise:
    """Unit noise over an interval of sigma, from one path per picture (or one for the whole batch)."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        sigmas: Tensor,
        seeds: Sequence[int],
        device: torch.device,
        open_stream: OpenStream,
        *,
        joint: int | None = None,
    ) -> None:
        """Prepare the paths.

        Args:
            shape: (channels, height, width).
            sigmas: the run's levels; the paths span the lowest above zero to the highest.
            seeds: one per picture.
            device: where the noise is needed.
            open_stream: the source of normal values.
            joint: when given, the seed of a single path that covers the whole batch; `seeds` then only counts it.
        """
        positive = [s for s in levels(sigmas) if s > 0]
        low, high = min(positive), max(positive)
        self.device = device
        if joint is None:
            self._paths = [BrownianPath(shape, low, high, seed, open_stream) for seed in seeds]
        else:
            self._paths = [BrownianPath((len(seeds), *shape), low, high, joint, open_stream)]
        self._joint = joint is not None

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """Return unit noise for the interval between two levels, [B, C, h, w]; its sign follows the direction."""
        start, end = float(sigma), float(sigma_next)
        low, high = min(start, end), max(start, end)
        scale = (1 if start < end else -1) / math.sqrt(high - low)
        parts = [path.increment(low, high) for path in self._paths]
        return ((parts[0] if self._joint else torch.stack(parts)) * scale).to(self.device)
