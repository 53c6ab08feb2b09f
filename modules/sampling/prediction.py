"""What a network predicts and at which noise levels it was trained, so that every network becomes `(x, sigma) -> x0`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from modules.sampling.types import Conditioning, Network

ZERO_SNR_LAST_ALPHA = 4.8973451890853435e-08
"""Value kept at the last entry after rescaling to zero terminal SNR, where the exact 0 would give an infinite sigma."""

CONSISTENCY_TIMESTEPS = 50
CONSISTENCY_TIME_SCALE = 10.0
CONSISTENCY_SIGMA_DATA = 0.5

Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(x [B, C, h, w], sigma [B], conditioning of B rows) -> x0 [B, C, h, w]."""


def scaled_linear_alphas(start: float = 0.00085, end: float = 0.012, n: int = 1000) -> Tensor:
    """Return the cumulative alphas [n], float32, of betas whose square roots are evenly spaced.

    Source: Rombach et al. 2022, arXiv:2112.10752, the released training configuration.
    """
    betas = torch.linspace(math.sqrt(start), math.sqrt(end), n, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, dim=0).float()


def rescale_zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Shift and stretch the square roots so that the last step carries (almost) no signal.

    Source: Lin et al. 2023, arXiv:2305.08891, Algorithm 1; differs in keeping the last value just above zero.
    """
    root = alphas_cumprod.double().sqrt()
    first, last = root[0], root[-1]
    rescaled = ((root - last) * first / (first - last)) ** 2
    rescaled[-1] = ZERO_SNR_LAST_ALPHA
    return rescaled.to(alphas_cumprod.dtype)


def downcast_alphas(alphas_cumprod: Tensor) -> Tensor:
    """Round the cumulative alphas through float16, as models run wholly in half precision had them."""
    return alphas_cumprod.half().to(alphas_cumprod.dtype)


@dataclass(frozen=True, eq=False)
class SigmaTable:
    """The noise levels of training, indexed by timestep, with log-linear interpolation between them."""

    sigmas: Tensor
    """[N] float32, increasing."""
    quantize: bool = False
    """Answer the nearest trained timestep instead of a fractional one."""
    stride: int = 1
    """Timesteps between neighbouring entries: entry i is timestep i * stride + stride - 1."""

    @classmethod
    def from_alphas(cls, alphas_cumprod: Tensor, *, quantize: bool = False) -> Self:
        """Build from cumulative alphas [N]: sigma = sqrt((1 - abar) / abar)."""
        alphas = alphas_cumprod.float()
        return cls(((1 - alphas) / alphas) ** 0.5, quantize)

    @classmethod
    def from_flow(cls, shift: float = 1.0, n: int = 1000) -> Self:
        """Build the shifted rectified-flow levels s*t / (1 + (s - 1)*t) for t = 1/n .. 1.

        Source: Esser et al. 2024, arXiv:2403.03206, equation 23.
        """
        t = torch.arange(1, n + 1, dtype=torch.float64) / n
        return cls((shift * t / (1 + (shift - 1) * t)).float())

    @classmethod
    def log_spaced(cls, sigma_min: float, sigma_max: float, n: int = 1000) -> Self:
        """Build levels whose logarithms are evenly spaced, for networks that were trained on all levels in between."""
        logs = torch.linspace(math.log(sigma_min), math.log(sigma_max), n, dtype=torch.float64)
        return cls(logs.exp().float())

    def __len__(self) -> int:
        """Return the number of trained timesteps."""
        return self.sigmas.shape[0]

    @cached_property
    def log_sigmas(self) -> Tensor:
        """[N] natural logarithms of the levels."""
        return self.sigmas.log()

    @cached_property
    def _spans(self) -> tuple[Tensor, Tensor, float, float]:
        """Inner entries [N - 2] of `log_sigmas`, distances [N - 1] between neighbours, first and last entry."""
        logs = self.log_sigmas
        return logs[1:-1].contiguous(), logs.diff(), float(logs[0]), float(logs[-1])

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """[N] float64: 1 / (1 + sigma^2), the signal's share of the variance."""
        return 1 / (1 + self.sigmas.double() ** 2)

    @cached_property
    def sigma_min(self) -> float:
        """Return the lowest trained level."""
        return float(self.sigmas[0])

    @cached_property
    def sigma_max(self) -> float:
        """Return the highest trained level."""
        return float(self.sigmas[-1])

    @property
    def t_min(self) -> int:
        """Return the timestep of the lowest level."""
        return self.stride - 1

    @property
    def t_max(self) -> int:
        """Return the timestep of the highest level."""
        return len(self) * self.stride - 1

    def to(self, device: torch.device) -> "SigmaTable":
        """Return this table on another device, so that look-ups in the sampling loop copy nothing."""
        if self.sigmas.device == device:
            return self
        return SigmaTable(self.sigmas.to(device), self.quantize, self.stride)

    def every(self, stride: int) -> "SigmaTable":
        """Keep every stride-th level, counted from the highest; timesteps keep their numbers."""
        return SigmaTable(self.sigmas[stride - 1 :: stride], self.quantize, self.stride * stride)

    def sigma_of(self, t: Tensor) -> Tensor:
        """Return the levels at (fractional) timesteps in t_min..t_max; any shape."""
        entry = ((t.float() - self.t_min) / self.stride).clamp(0, len(self) - 1)
        low = entry.floor()
        low_log = self.log_sigmas[low.long()]
        high_log = self.log_sigmas[entry.ceil().long()]
        return (low_log + (entry - low) * (high_log - low_log)).exp()

    def t_of(self, sigma: Tensor) -> Tensor:
        """Return the timesteps of levels, clamped to t_min..t_max; any shape, float32."""
        inner, gaps, first, last = self._spans
        log_sigma = sigma.float().log().clamp(first, last).contiguous()
        # Without the two ends the number of entries passed is already the index of the lower neighbour.
        low = torch.searchsorted(inner, log_sigma, right=True)
        part = (log_sigma - self.log_sigmas.take(low)) / gaps.take(low)
        entry = (low + (part > 0.5)).float() if self.quantize else low + part
        return entry if self.stride == 1 else entry * self.stride + self.t_min


class Target(Enum):
    """The quantity a network was trained to output."""

    EPS = "eps"
    """The noise."""
    V = "v"
    """Velocity sqrt(abar) * noise - sqrt(1 - abar) * x0 (arXiv:2202.00512)."""
    FLOW = "flow"
    """Rectified-flow velocity noise - x0, with x = (1 - sigma) * x0 + sigma * noise."""
    X0 = "x0"
    """The clean latent itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A network's training target together with its noise levels."""

    target: Target
    table: SigmaTable
    consistency: bool = False
    """Blend the input in at the lowest timesteps, as consistency models are trained (arXiv:2310.04378, equation 9)."""
    log_time: bool = False
    """The network is told a quarter of the logarithm of the level instead of a timestep (arXiv:2206.00364, table 1)."""

    @classmethod
    def named(cls, name: str, table: SigmaTable) -> Self:
        """Build from "eps", "v", "flow" or "x0".

        Raises:
            ValueError: another name.
        """
        return cls(Target(name), table)

    def of_consistency(self) -> "Prediction":
        """Return this prediction as a consistency model reads it: 50 trained timesteps, never in between."""
        kept = self.table.every(max(len(self.table) // CONSISTENCY_TIMESTEPS, 1))
        return replace(self, table=replace(kept, quantize=True), consistency=True)

    def on(self, device: torch.device) -> "Prediction":
        """Return this prediction with its table on another device."""
        return replace(self, table=self.table.to(device))

    def input_scale(self, sigma: Tensor) -> Tensor:
        """Return the factor between `x` and what the network is fed; same shape as sigma."""
        if self.target is Target.FLOW:
            return torch.ones_like(sigma)
        return (sigma.square() + 1).rsqrt()

    def timestep(self, sigma: Tensor) -> Tensor:
        """Return the `t` that the network is told at a level; same shape as sigma."""
        if self.log_time:
            return sigma.log() / 4
        return sigma * len(self.table) if self.target is Target.FLOW else self.table.t_of(sigma)

    def to_x0(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        """Turn the network's output into the estimate of the clean latent.

        Args:
            x: [B, C, h, w] noisy latent, unscaled.
            output: [B, C, h, w] what the network answered.
            sigma: [B]
        """
        x0 = self._plain_x0(x, output, _beside(sigma, x))
        if not self.consistency:
            return x0
        t = _beside(self.timestep(sigma) * CONSISTENCY_TIME_SCALE, x)
        spread = (t**2 + CONSISTENCY_SIGMA_DATA**2) ** 0.5
        return x0 * (t / spread) + x * (CONSISTENCY_SIGMA_DATA / spread) ** 2

    def _plain_x0(self, x: Tensor, output: Tensor, s: Tensor) -> Tensor:
        match self.target:
            case Target.X0:
                return output
            case Target.V:
                return (x / (s**2 + 1)) - output * (s / (s**2 + 1) ** 0.5)
            case Target.EPS | Target.FLOW:
                return torch.addcmul(x, output, s, value=-1)


def predict(network: Network, prediction: Prediction) -> Predict:
    """Wrap a raw network so that it maps a noisy latent and its level to the clean latent.

    Args:
        network: takes the scaled latent, t [B] float32 and B rows of conditioning.
        prediction: the meaning of its output.
    """
    on_device = prediction

    def run(x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        nonlocal on_device
        if on_device.table.sigmas.device != x.device:
            on_device = prediction.on(x.device)
        scaled = x * _beside(on_device.input_scale(sigma), x)
        output = network(scaled, on_device.timestep(sigma), conditioning)
        return on_device.to_x0(x, output, sigma)

    return run


def _beside(per_image: Tensor, x: Tensor) -> Tensor:
    """Shape [B] so that it broadcasts over [B, ...]."""
    return per_image.view(-1, *([1] * (x.ndim - 1)))
