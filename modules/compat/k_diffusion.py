"""What the package `k_diffusion` offers: small functions about noise levels, and every native sampler in its form."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from modules.domain.plan import SamplerOptions
from modules.sampling import schedules as own
from modules.sampling import steps
from modules.sampling.brownian import BrownianNoise
from modules.sampling.catalogue import SAMPLERS, Controls, Sampler
from modules.sampling.noise import stream_opener
from modules.sampling.types import Denoise, Noise

_walk_noise: ContextVar[Noise | None] = ContextVar("walk_noise", default=None)


@contextmanager
def noise_of_walk(noise: Noise) -> Iterator[None]:
    """Let `default_noise_sampler` draw from the streams of the pictures while a walk runs."""
    token = _walk_noise.set(noise)
    try:
        yield
    finally:
        _walk_noise.reset(token)


def default_noise_sampler(x: Tensor) -> Noise:
    """Return what draws unit noise of the shape of x; each picture's own while a walk runs."""
    noise = _walk_noise.get()

    def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        made = noise(sigma, sigma_next) if noise is not None else None
        return torch.randn_like(x) if made is None or made.shape != x.shape else made.to(x)

    return draw


def append_dims(x: Tensor, target_dims: int) -> Tensor:
    """Return x with axes of length one behind, until it has so many.

    Raises:
        ValueError: it has more.
    """
    if x.ndim > target_dims:
        raise ValueError(f"a tensor of {x.ndim} dimensions cannot get {target_dims}")
    return x.reshape(*x.shape, *[1] * (target_dims - x.ndim))


def append_zero(x: Tensor) -> Tensor:
    """Return levels with a zero behind."""
    return torch.cat([x, x.new_zeros(1)])


def to_d(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """Return dx / dsigma of the path through an estimate of the clean latent."""
    return (x - denoised) / append_dims(torch.as_tensor(sigma, device=x.device), x.ndim)


def get_ancestral_step(sigma_from: Any, sigma_to: Any, eta: float = 1.0) -> tuple[Any, Any]:
    """Return the level to go down to and the deviation of the noise to add."""
    if not eta:
        return sigma_to, 0.0
    down, up = steps.ancestral(float(sigma_from), float(sigma_to), eta)
    if isinstance(sigma_to, Tensor):
        return sigma_to.new_tensor(down), sigma_to.new_tensor(up)
    return down, up


def get_sigmas_karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Any = "cpu") -> Tensor:
    """Space the rho-th roots of levels evenly; [n + 1]."""
    return own.karras(_span(n, sigma_min, sigma_max, rho)).to(device)


def get_sigmas_exponential(n: int, sigma_min: float, sigma_max: float, device: Any = "cpu") -> Tensor:
    """Space the logarithms of levels evenly; [n + 1]."""
    return own.exponential(_span(n, sigma_min, sigma_max, 1.0)).to(device)


def get_sigmas_polyexponential(
    n: int, sigma_min: float, sigma_max: float, rho: float = 1.0, device: Any = "cpu"
) -> Tensor:
    """Space the logarithms of levels by a power of an even ramp; [n + 1]."""
    return own.polyexponential(_span(n, sigma_min, sigma_max, rho)).to(device)


def get_sigmas_vp(
    n: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3, device: Any = "cpu"
) -> Tensor:
    """Space the times of a variance-preserving process evenly; [n + 1].

    Source: Song et al. 2021, arXiv:2011.13456, equation 33.
    """
    t = torch.linspace(1, eps_s, n, dtype=torch.float64)
    return append_zero((0.5 * beta_d * t**2 + beta_min * t).expm1().sqrt().float()).to(device)


class BrownianTreeNoiseSampler:
    """Unit noise over an interval from a Brownian path.

    Args:
        x: [B, C, h, w]; gives the shape.
        sigma_min: lowest level above zero.
        sigma_max: highest level.
        seed: one for the whole batch, or one for each picture; drawn where it is left out.
        transform: applied to levels before they are times.
        cpu: kept for callers; paths are drawn on the CPU.
    """

    def __init__(
        self, x: Tensor, sigma_min: Any, sigma_max: Any, seed: Any = None,
        transform: Callable[[Tensor], Tensor] = lambda sigma: sigma, cpu: bool = True,
    ) -> None:  # fmt: skip
        seeds = [int(torch.randint(0, 2**63 - 1, []))] if seed is None else seed if isinstance(seed, list) else [seed]
        self.transform = transform
        bounds = torch.stack([transform(torch.as_tensor(one)).cpu().double() for one in (sigma_min, sigma_max)])
        each = len(seeds) == x.shape[0] and isinstance(seed, list)
        self._noise = BrownianNoise(
            (x.shape[1], x.shape[2], x.shape[3]), bounds.sort().values, seeds if each else [seeds[0]] * x.shape[0],
            x.device, stream_opener("CPU", torch.device("cpu")), joint=None if each else seeds[0],
        )  # fmt: skip

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        """Return unit noise for the interval between two levels."""
        return self._noise(
            self.transform(torch.as_tensor(sigma)).cpu(), self.transform(torch.as_tensor(sigma_next)).cpu()
        )


def sampling_functions() -> Mapping[str, Callable[..., Tensor]]:
    """Return `sample_...` of the native samplers that walk levels."""
    found: dict[str, Callable[..., Tensor]] = {}
    for sampler in SAMPLERS:
        if not sampler.timesteps and not sampler.needs_uncond and not sampler.own_levels:
            name = sampler.name if sampler.name.startswith("sample_") else f"sample_{sampler.name}"
            found.setdefault(name, _in_its_form(sampler, name))
    return found


def _in_its_form(sampler: Sampler, name: str) -> Callable[..., Tensor]:
    """Return a native sampler as a function that is called once and calls back."""

    def sample(
        model: Any, x: Tensor, sigmas: Tensor, extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None, disable: Any = None, noise_sampler: Any = None,
        eta: float = 1.0, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = math.inf, s_noise: float = 1.0,
    ) -> Tensor:  # fmt: skip
        told = dict(extra_args or {})
        given = steps.levels(sigmas)
        options = SamplerOptions(eta=eta, s_churn=s_churn, s_tmin=s_tmin, s_tmax=s_tmax, s_noise=s_noise)
        noise: Noise = noise_sampler or default_noise_sampler(x)
        denoise: Denoise = lambda at, sigma: model(at, sigma, **told)  # noqa: E731
        latest = x
        for step in sampler.run(denoise, x, sigmas, Controls(noise=noise, options=options)):
            if callback is not None:
                level = given[min(step.index, len(given) - 1)]
                callback({"x": latest, "i": step.index, "sigma": level, "sigma_hat": level, "denoised": step.denoised})
            latest = step.x
        return latest

    sample.__name__ = sample.__qualname__ = name
    return sample


def _span(n: int, low: Any, high: Any, rho: float) -> own.Span:
    from modules.domain.plan import ScheduleOptions
    from modules.sampling.prediction import SigmaTable

    table = SigmaTable.log_spaced(float(low), float(high), 2)
    return own.Span(steps=n, low=float(low), high=float(high), rho=rho, table=table, options=ScheduleOptions())
