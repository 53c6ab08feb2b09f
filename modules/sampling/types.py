"""The vocabulary of sampling: everything is `(x, sigma) -> x0`.

`x` is a latent on the k-diffusion scale (clean latent plus sigma times unit noise), `sigma` the noise level.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x [B, C, h, w], sigma [B]) -> x0 [B, C, h, w]: the estimate of the clean latent."""

Noise = Callable[[Tensor, Tensor], Tensor]
"""(sigma, sigma_next) -> unit noise [B, C, h, w] for that interval, one generator per picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a sampler yields after each interval of the schedule."""

    index: int
    """0-based interval."""
    sigma: Tensor
    """Noise level that `x` is at now (scalar)."""
    x: Tensor
    """[B, C, h, w]"""
    denoised: Tensor
    """[B, C, h, w]; the estimate of the clean latent that this step used."""


class EndedEarly(Exception):
    """The walk is to end at a step that an integrator told by `Tell`. It passes through the integrator.

    Args:
        step: the last one.
    """

    def __init__(self, step: Step) -> None:
        super().__init__("the walk ended early")
        self.step = step


Tell = Callable[[Step], None]
"""Takes a step of an integrator that cannot stop at each of its own accord; raises `EndedEarly`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditioning:
    """What a network is told about the wanted picture; B rows, one per text."""

    tokens: Tensor
    """[B, L, D]; L is a multiple of 77 for CLIP encoders."""
    pooled: Tensor | None = None
    """[B, P]"""
    extras: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    """Further inputs by the network's own argument name, each [B, ...]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """One sub-prompt over the run: which row of `conditioning` holds until which model call."""

    ends: tuple[int, ...]
    """Row i is used while the 0-based model-call counter is <= ends[i]; if none fits, row 0."""
    conditioning: Conditioning
    weight: float = 1.0
    """Weight of this sub-prompt in an AND composition."""

    def row(self, call: int) -> int:
        """Return the row to use at the given 0-based model call."""
        return next((i for i, end in enumerate(self.ends) if call <= end), 0)


Network = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(input [B, C, h, w], t [B], conditioning of B rows) -> raw output [B, C, h, w] (eps, v, ...)."""
