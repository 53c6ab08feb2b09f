"""Networks that are asked by noise level, as `k_diffusion.external` has them and samplers hold them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from modules.compat.replaced import is_own
from modules.compat.sd_model import answers_itself
from modules.sampling.prediction import SigmaTable


class DiscreteSchedule:
    """The noise levels of training.

    Args:
        sigmas: [N], rising.
        quantize: whether timesteps are whole numbers.
    """

    def __init__(self, sigmas: Tensor, quantize: bool = False) -> None:
        self.sigmas, self.log_sigmas, self.quantize = sigmas, sigmas.log(), quantize

    @property
    def _table(self) -> SigmaTable:
        return SigmaTable(self.sigmas, self.quantize)

    @property
    def sigma_min(self) -> Tensor:
        """The lowest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The highest level."""
        return self.sigmas[-1]

    def get_sigmas(self, n: int | None = None) -> Tensor:
        """Return n levels, evenly spaced in timesteps, and a zero; all levels without a number."""
        if n is None:
            return torch.cat([self.sigmas.flip(0), self.sigmas.new_zeros(1)])
        t = torch.linspace(len(self.sigmas) - 1, 0, n, device=self.sigmas.device)
        return torch.cat([self.t_to_sigma(t), self.sigmas.new_zeros(1)])

    def sigma_to_t(self, sigma: Any, quantize: bool | None = None) -> Tensor:
        """Return the timesteps of levels."""
        level = torch.as_tensor(sigma, device=self.sigmas.device)
        t = SigmaTable(self.sigmas, self.quantize if quantize is None else quantize).t_of(level.reshape(-1).float())
        return t.reshape(level.shape)

    def t_to_sigma(self, t: Any) -> Tensor:
        """Return the levels of timesteps."""
        step = torch.as_tensor(t, device=self.sigmas.device)
        return self._table.sigma_of(step.reshape(-1).float()).reshape(step.shape)


class CompVisDenoiser(DiscreteSchedule):
    """A model that predicts the noise.

    Args:
        model: has `alphas_cumprod` and `apply_model`.
        quantize: whether timesteps are whole numbers.
        device: where levels lie.
    """

    def __init__(self, model: Any, quantize: bool = False, device: Any = "cpu") -> None:
        # In double precision these are the levels of the model itself; close to 1, single precision would lose some digits.
        alphas = torch.as_tensor(model.alphas_cumprod).cpu().double()
        super().__init__(((1 - alphas) / alphas).sqrt().float().to(device), quantize)
        self.inner_model = model
        self.sigma_data = 1.0
        self._native: Callable[[Tensor, Tensor, Any], Tensor] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in ("inner_model", "_native"):
            raise AttributeError(name)
        return getattr(self.inner_model, name)

    @property
    def answers(self) -> bool:
        """Whether `forward`, or the model's `apply_model`, was replaced."""
        return not is_own(self, "forward", ORIGINALS.get(type(self))) or answers_itself(self.inner_model)

    @contextmanager
    def asking(self, native: Callable[[Tensor, Tensor, Any], Tensor]) -> Iterator[None]:
        """Leave the network to a walk while something stands around it; (x, sigma, cond) -> x0."""
        before, self._native = self._native, native
        try:
            yield
        finally:
            self._native = before

    def _left(self) -> Callable[[Tensor, Tensor, Any], Tensor] | None:
        """Return the network of the walk while `apply_model` is the model's own; it may be replaced between two calls."""
        return None if self._native is None or answers_itself(self.inner_model) else self._native

    def get_scalings(self, sigma: Tensor) -> tuple[Tensor, ...]:
        """Return by what output and input are multiplied. Source: Karras et al. 2022, arXiv:2206.00364, table 1."""
        return -sigma, (sigma**2 + 1).rsqrt()

    def __call__(self, *given: Any, **told: Any) -> Tensor:
        """Estimate the clean latent; see `forward`."""
        return self.forward(*given, **told)

    def forward(self, x: Tensor, sigma: Tensor, **told: Any) -> Tensor:
        """Estimate the clean latent [R, C, h, w] of x [R, C, h, w] at sigma [R]."""
        native = self._left()
        if native is not None:
            return native(x, sigma, told.get("cond"))
        out, inside = (one.reshape(-1, 1, 1, 1) for one in self.get_scalings(sigma)[-2:])
        return x + self.inner_model.apply_model(x * inside, self.sigma_to_t(sigma), **told) * out


class CompVisVDenoiser(CompVisDenoiser):
    """A model that predicts velocity."""

    def get_scalings(self, sigma: Tensor) -> tuple[Tensor, ...]:
        """Return by what input, output and network input are multiplied. Source: Salimans and Ho 2022, arXiv:2202.00512."""
        return 1 / (sigma**2 + 1), -sigma * (sigma**2 + 1).rsqrt(), (sigma**2 + 1).rsqrt()

    def forward(self, x: Tensor, sigma: Tensor, **told: Any) -> Tensor:
        """Estimate the clean latent [R, C, h, w] of x [R, C, h, w] at sigma [R]."""
        native = self._left()
        if native is not None:
            return native(x, sigma, told.get("cond"))
        skip, out, inside = (one.reshape(-1, 1, 1, 1) for one in self.get_scalings(sigma))
        return self.inner_model.apply_model(x * inside, self.sigma_to_t(sigma), **told) * out + x * skip


ORIGINALS: dict[type, Any] = {one: one.forward for one in (CompVisDenoiser, CompVisVDenoiser)}
"""What a network that is asked by level does by itself."""


def level_model(sd_model: Any) -> CompVisDenoiser:
    """Return what samplers call their model's inside."""
    kind = CompVisVDenoiser if sd_model.parameterization == "v" else CompVisDenoiser
    return kind(sd_model)
