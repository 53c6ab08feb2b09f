"""More or less fine detail: for a part of the run the network is told of less noise than there is, and takes less away.

What it leaves standing becomes detail in the steps that follow; a negative amount makes pictures smoother.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modules.domain.param import param
from modules.extending.registry import Registry
from modules.extending.script import BOTH
from modules.hooks.dispatch import Handler
from modules.hooks.points import BeforeSampling, WrapDenoise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailParams:
    """What a person can choose."""

    enabled: bool = param(False, label="Enable")
    amount: float = param(
        0.1, label="Detail amount", infotext="Detail amount", ge=-1, le=0.9, slider=(-0.5, 0.5), step=0.01,
        help="Above 0 adds detail, below 0 smooths. Much of it leaves noise.",
    )  # fmt: skip
    start: float = param(
        0.2, label="Detail from", infotext="Detail from", ge=0, le=1, slider=(0, 1), step=0.01,
        help="Share of the steps after which it begins.",
    )  # fmt: skip
    end: float = param(
        0.8, label="Detail until", infotext="Detail until", ge=0, le=1, slider=(0, 1), step=0.01,
        help="Share of the steps after which it has faded out.",
    )  # fmt: skip


class Detail:
    """Multiplies the noise level that the network is told by `1 - amount * weight`."""

    id, label, tabs, Params = "detail", "Detail", BOTH, DetailParams

    def hooks(self, params: DetailParams) -> Iterable[Handler]:
        """Wrap the denoiser of each pass; where a noise level lies in the run is known from the schedule."""
        levels: list[Tensor] = []

        def learn(payload: BeforeSampling) -> None:
            levels[:] = [payload.sigmas]

        def wrap(payload: WrapDenoise) -> WrapDenoise:
            def denoise(x: "Tensor", sigma: "Tensor") -> "Tensor":
                factor = 1 - params.amount * weight(progress(levels[0], sigma), params.start, params.end)
                return payload.denoise(x, sigma * factor)

            return replace(payload, denoise=denoise)

        return [
            Handler(name="learn", hook=BeforeSampling, call=learn),
            Handler(name="wrap", hook=WrapDenoise, call=wrap),
        ]


def progress(sigmas: "Tensor", sigma: "Tensor") -> float:
    """Return the share of the schedule [N + 1] that lies behind a noise level [B], 0 at its start."""
    level, steps = float(sigma.max()), max(len(sigmas) - 1, 1)
    return min(sum(1 for one in sigmas.tolist() if one > level) / steps, 1.0)


def weight(at: float, start: float, end: float) -> float:
    """Return how strongly the change applies: 1 in the middle between start and end, fading to 0 at both."""
    if not start < at < end:
        return 0.0
    return 1 - abs(2 * (at - start) / (end - start) - 1)


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.script(Detail())
