"""Where extensions stand around the sampling of a batch: what a walk starts from, shown, changed and walked again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from modules.domain.plan import BatchPlan, Plan
from modules.pipeline.begin import Begin
from modules.pipeline.denoise import Leg, encoded_prompts
from modules.pipeline.options import sampler_options
from modules.pipeline.session import Session
from modules.sampling.noise import ImageNoise
from modules.sampling.walks import Start

Fact = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walked:
    """What one walk came to."""

    x: Tensor
    """[B, C, h, w]"""
    complete: bool
    """False when it was ended early."""
    facts: Mapping[str, Fact]
    """Infotext keys that only became known on the way."""


@dataclass(slots=True, kw_only=True, eq=False)
class Walker:
    """Carries out walks of one pass for extensions, and remembers what came of them."""

    session: Session
    plan: Plan
    batch: BatchPlan
    leg: Leg
    once: Callable[[Session, Plan, BatchPlan, Leg], Walked]
    facts: dict[str, Fact] = field(default_factory=dict)
    complete: bool = True

    def __call__(self, start: Start) -> Tensor:
        """Walk from a start; the latent [B, C, h, w]."""
        found = self.once(self.session, self.plan, self.batch, started(self.leg, start, self.session, self.plan))
        self.facts.update(found.facts)
        self.complete = self.complete and found.complete
        return found.x


def opened(session: Session, plan: Plan, batch: BatchPlan, leg: Leg, noise: ImageNoise) -> Leg:
    """Encode the prompts of a pass and open its noise before it begins, so that both can be shown."""
    return replace(leg, prompts=leg.prompts or encoded_prompts(session, plan, batch, leg), noise=leg.noise or noise)


def start_of(plan: Plan, leg: Leg) -> Start:
    """Describe what an opened pass starts from."""
    assert leg.prompts is not None
    assert leg.noise is not None
    scale = leg.cfg_scale if leg.cfg_scale is not None else planned_scale(plan, leg)
    return Start(
        noise=leg.noise, positives=tuple(leg.prompts.positives), negatives=tuple(leg.prompts.negatives),
        sampler=leg.run.sampler, steps=leg.run.steps, cfg_scale=scale, latent=leg.begin.latent if leg.begin else None,
        strength=leg.strength, fix_steps=leg.fix_steps, noise_multiplier=leg.noise_multiplier,
        extras=leg.begin.extras if leg.begin else leg.extras, needs_negative=leg.needs_negative,
    )  # fmt: skip


def planned_scale(plan: Plan, leg: Leg) -> float:
    """Return the CFG scale that a plan has for a pass."""
    return plan.hires.cfg_scale if plan.hires and leg.number else plan.guidance.cfg_scale


def started(leg: Leg, start: Start, session: Session, plan: Plan) -> Leg:
    """Return an opened pass with another start."""
    assert leg.prompts is not None
    run, options = replace(leg.run, steps=start.steps, sampler=start.sampler), leg.options
    if start.sampler != leg.run.sampler:
        options = sampler_options(plan.request, session.ctx.settings, session.book.sampler(start.sampler))
    return replace(
        leg, run=run, options=options, noise=start.noise, begin=_begin(leg.begin, start), strength=start.strength,
        fix_steps=start.fix_steps, noise_multiplier=start.noise_multiplier, cfg_scale=start.cfg_scale,
        extras=start.extras, needs_negative=start.needs_negative,
        prompts=replace(leg.prompts, positives=list(start.positives), negatives=list(start.negatives)),
    )  # fmt: skip


def _begin(planned: Begin | None, start: Start) -> Begin | None:
    """Return the clean latent of a start; a mask belongs to the planned size."""
    if start.latent is None:
        return None
    mask = planned.mask if planned and planned.latent.shape == start.latent.shape else None
    pictures = planned.pictures if planned else ()
    return Begin(latent=start.latent, mask=mask, extras=start.extras, pictures=pictures)
