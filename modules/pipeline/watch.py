"""Extensions that look at what guidance gives to the network and gets back."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from modules.domain.plan import BatchPlan, Plan
from modules.hooks.dispatch import Hooks
from modules.hooks.points import AfterBlend, AfterGuidance, AfterNetwork, BeforeNetwork, WrapNetwork
from modules.pipeline.begin import LatentMask
from modules.sampling.watching import NetworkCall, Predict, Watch

Blended = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(what the kept part was put over, both, sigma [B] or None for the result) -> both, each [B, C, h, w]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Hooked:
    hooks: Hooks
    plan: Plan
    batch: BatchPlan

    def before(self, given: NetworkCall) -> NetworkCall:
        return self.hooks.run(BeforeNetwork(plan=self.plan, batch=self.batch, given=given)).given

    def estimated(self, given: NetworkCall, estimates: Tensor) -> Tensor:
        payload = AfterNetwork(plan=self.plan, batch=self.batch, given=given, estimates=estimates)
        return self.hooks.run(payload).estimates

    def guided(self, given: NetworkCall, x0: Tensor) -> Tensor:
        return self.hooks.run(AfterGuidance(plan=self.plan, batch=self.batch, given=given, x0=x0)).x0


def watching(hooks: Hooks, plan: Plan, batch: BatchPlan) -> Watch | None:
    """Return what asks the extensions; None where nobody looks, which costs nothing."""
    if not any(hooks.has(point) for point in (BeforeNetwork, AfterNetwork, AfterGuidance)):
        return None
    return _Hooked(hooks=hooks, plan=plan, batch=batch)


def around_network(hooks: Hooks, plan: Plan, batch: BatchPlan) -> Callable[[Predict], Predict] | None:
    """Return what lets extensions stand around the network; None where nobody does."""
    if not hooks.has(WrapNetwork):
        return None
    return lambda predict: hooks.run(WrapNetwork(plan=plan, batch=batch, predict=predict)).predict


def watching_blends(hooks: Hooks, plan: Plan, batch: BatchPlan, mask: LatentMask) -> Blended | None:
    """Return what shows extensions each mixture under a mask; None where nobody looks."""
    if not hooks.has(AfterBlend):
        return None

    def show(current: Tensor, blended: Tensor, sigma: Tensor | None) -> Tensor:
        payload = AfterBlend(
            plan=plan, batch=batch, current=current, clean=mask.clean, repaint=mask.repaint, blended=blended,
            sigma=sigma,
        )  # fmt: skip
        return hooks.run(payload).blended

    return show
