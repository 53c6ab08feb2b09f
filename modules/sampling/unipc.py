"""UniPC: one formula of any order that predicts a step and then corrects it with the call the next step needs anyway.

Source: Zhao et al. 2023, arXiv:2302.04867, Algorithms 5 and 6 (data prediction), and its released coefficients.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.sampling.prediction import SigmaTable
from modules.sampling.steps import at, done, levels
from modules.sampling.timesteps import vp_scale
from modules.sampling.types import Denoise, Step

Variant = Literal["bh1", "bh2", "vary_coeff"]
VARIANTS: tuple[Variant, ...] = ("bh1", "bh2", "vary_coeff")
SKIP_TYPES = ("time_uniform", "time_quadratic", "logSNR")


def unipc_levels(table: SigmaTable, steps: int, skip_type: str, start: float = 1.0) -> Tensor:
    """Return the falling levels [steps + 1] between time `start` and the first trained time, 1 / N.

    Time t means timestep t * N - 1; between trained times log(alpha) is linear, as in the paper's code.

    Args:
        table: the model's levels.
        steps: number of intervals.
        skip_type: even in time, in its square root, or in the logarithm of the signal-to-noise ratio.
        start: 0 .. 1, where to begin; 1 is pure noise.

    Raises:
        InvalidRequest: another skip type.
    """
    n = len(table)
    match skip_type:
        case "time_uniform":
            times = np.linspace(start, 1 / n, steps + 1)
        case "time_quadratic":
            times = np.linspace(math.sqrt(start), math.sqrt(1 / n), steps + 1) ** 2
        case "logSNR":
            ends = _levels_at(table, np.array([start, 1 / n]))
            return torch.tensor(np.geomspace(float(ends[0]), float(ends[1]), steps + 1), dtype=torch.float32)
        case _:
            raise InvalidRequest(f"{skip_type!r} is none of {', '.join(SKIP_TYPES)}", field="uni_pc_skip_type")
    return torch.tensor(_levels_at(table, times), dtype=torch.float32)


def _levels_at(table: SigmaTable, times: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[float]:
    n = len(table)
    log_alphas = [math.log(float(a)) for a in table.alphas_cumprod]
    known = np.arange(1, n + 1) / n
    return [math.sqrt(math.expm1(-float(np.interp(t, known, log_alphas)))) for t in times]


def unipc(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    order: int = 3,
    variant: Variant = "bh1",
    lower_order_final: bool = True,
) -> Iterator[Step]:
    """Multistep predictor-corrector; one call per step, the last step is not corrected.

    Args:
        denoise: the denoiser.
        x: [B, C, h, w] at sigmas[0].
        sigmas: falling levels that end above zero; the last Step holds the variance-preserving sample.
        order: of the predictor, at least 1; at most the number of steps is used.
        variant: which function of the step width scales the differences.
        lower_order_final: reduce the order towards the end, which helps when steps are few.
    """
    known = levels(sigmas)
    steps = len(known) - 1
    order = max(1, min(order, steps))
    past = [(denoise(x, at(x, known[0])), known[0])]  # (estimate, its level), newest first
    for i, sigma_next in enumerate(known[1:]):
        used = min(order, i + 1)
        if lower_order_final and i + 1 >= order:
            used = min(used, steps - i)
        newest, sigma = past[0]
        h = math.log(sigma / sigma_next)
        ratios = [math.log(sigma / s) / h for _, s in past[1:used]]
        differences = [(x0 - newest) / r for (x0, _), r in zip(past[1:used], ratios, strict=True)]
        weights = step_weights(h, ratios, variant)
        base = (sigma_next / sigma) * x - math.expm1(-h) * newest
        x = _plus(base, weights.predictor, differences)
        x0 = newest
        if i < steps - 1:
            x0 = denoise(x, at(x, sigma_next))
            x = _plus(base, weights.corrector, [*differences, x0 - newest])
            past = [(x0, sigma_next), *past][:order]
        yield done(i, sigma_next, x / vp_scale(sigma_next) if i == steps - 1 else x, x0)


@dataclass(frozen=True, slots=True)
class StepWeights:
    """Factors of the differences between estimates."""

    predictor: list[float]
    """One per past difference."""
    corrector: list[float]
    """One per past difference and one for the new estimate."""


def step_weights(h: float, ratios: Sequence[float], variant: Variant) -> StepWeights:
    """Compute the factors for a step of width h in log sigma.

    Args:
        h: width, above 0.
        ratios: position of each past estimate relative to the newest, in steps; negative.
        variant: bh1 and bh2 match one function of h, vary_coeff matches every power of it.
    """
    nodes = np.array([*ratios, 1.0])
    return _varying(h, nodes) if variant == "vary_coeff" else _scaled(h, nodes, variant)


def _phis(h: float, count: int) -> list[float]:
    """Return phi_1(-h) * -h, phi_2 ..., the integrals of the exponential against powers."""
    values = [math.expm1(-h)]
    for k in range(1, count):
        values.append(values[-1] / -h - 1 / math.factorial(k))
    return values


def _scaled(h: float, nodes: "np.ndarray[tuple[int], np.dtype[np.float64]]", variant: Variant) -> StepWeights:
    count = len(nodes)
    scale = -h if variant == "bh1" else math.expm1(-h)
    powers = np.array([nodes**k for k in range(count)])
    wanted = np.array([phi * math.factorial(k + 1) / scale for k, phi in enumerate(_phis(h, count + 1)[1:])])
    # With one unknown the paper takes its limit 1/2 instead of solving.
    predictor = [0.5] if count == 2 else [float(w) for w in np.linalg.solve(powers[:-1, :-1], wanted[:-1])]
    corrector = [0.5] if count == 1 else [float(w) for w in np.linalg.solve(powers, wanted)]
    return StepWeights([-scale * w for w in predictor], [-scale * w for w in corrector])


def _varying(h: float, nodes: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> StepWeights:
    count = len(nodes)
    phis = _phis(h, count + 1)
    columns = np.stack([nodes**k / math.factorial(k + 1) for k in range(count)], axis=1)
    early, full = np.linalg.inv(columns[:-1, :-1]), np.linalg.inv(columns)
    predictor = [-sum(phis[k + 1] * float(early[k, j]) for k in range(count - 1)) for j in range(count - 1)]
    corrector = [-sum(phis[k + 1] * float(full[k, j]) for k in range(count - 1)) for j in range(count - 1)]
    # The released code takes the new estimate's factor from the last row but one, and pictures depend on it.
    return StepWeights(predictor, [*corrector, -phis[count] * float(full[max(count - 2, 0), -1])])


def _plus(base: Tensor, weights: Sequence[float], differences: Sequence[Tensor]) -> Tensor:
    for weight, difference in zip(weights, differences, strict=True):
        base = base + difference * weight
    return base
