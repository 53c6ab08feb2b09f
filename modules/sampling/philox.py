"""The counter-based generator that NVIDIA's torch uses, in software, so that a seed gives the same noise on any machine.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox 4x32-10).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# The hardware's constants are float32, the arithmetic on them is not: the last bit of each value depends on both.
UNIT = float(np.float32(2.3283064e-10))
TURN = float(np.float32(2.3283064e-10 * 6.2831855))

Words = npt.NDArray[np.uint64]
"""Values below 2**32, held in 64 bits so that products do not overflow."""


class Philox:
    """A stream of normal values from a seed; each call uses the next block of counters."""

    def __init__(self, seed: int) -> None:
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.calls = 0

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Draw unit normal values of the given shape, float32, on the CPU."""
        first, second = _words(self.seed, self.calls, math.prod(shape))
        self.calls += 1
        u = (first + 0.5) * UNIT
        v = (second + 0.5) * TURN
        values: npt.NDArray[Any] = np.sqrt(-2.0 * np.log(u)) * np.sin(v)
        return torch.tensor(values.astype(np.float32).reshape(tuple(shape)))


def _words(seed: int, offset: int, count: int) -> tuple[Words, Words]:
    """Return the first two output words for counters (offset, 0, i, 0), i = 0 .. count - 1."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0 = np.full(count, offset & 0xFFFFFFFF, np.uint64)
    c1, c2, c3 = np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64), np.zeros(count, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(ROUNDS):
        p1, p2 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c2 = (p2 >> half) ^ c1 ^ np.uint64(k0), (p1 >> half) ^ c3 ^ np.uint64(k1)
        c1, c3 = p2 & mask, p1 & mask
        k0, k1 = (k0 + KEY_INCREMENTS[0]) & 0xFFFFFFFF, (k1 + KEY_INCREMENTS[1]) & 0xFFFFFFFF
    return c0, c1
