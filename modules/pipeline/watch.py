"""Extensions that look at what guidance gives to the network and gets back."""

from dataclasses import dataclass

from torch import Tensor

from modules.domain.plan import BatchPlan, Plan
from modules.hooks.dispatch import Hooks
from modules.hooks.points import AfterGuidance, AfterNetwork, BeforeNetwork
from modules.sampling.watching import NetworkCall, Watch


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
