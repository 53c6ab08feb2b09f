"""The whole story of a generation, from plan to pictures."""

import torch

from modules.domain.events import Stage, Started
from modules.domain.plan import Plan
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.hooks.points import BeforeConditioning
from modules.pipeline.clock import Clock
from modules.pipeline.finish import Finisher, Pending
from modules.pipeline.preview import Previewer
from modules.pipeline.sample import sample
from modules.pipeline.services import Workshop


def generate(plan: Plan, ctx: JobContext, shop: Workshop, finisher: Finisher) -> Outcome:
    """Make the pictures of a plan. An interrupt ends it early and keeps what there is.

    Raises:
        ModelError: the checkpoint cannot be used.
        OutOfMemory: after every measure to save it.
        NumericalFault: a network produced NaN.
    """
    clock = Clock()
    previewer = Previewer(ctx)
    done: list[Pending] = []
    ctx.emit(Started(job_id=ctx.job_id, num_batches=plan.num_batches))
    ctx.emit(Stage(job_id=ctx.job_id, text="loading model"))
    lease = shop.pool.lease(plan.model, shop.attention(ctx.settings))
    with torch.inference_mode(), clock.entering("load", lease) as model:
        for batch in plan.batches():
            if ctx.cancel.ends_job:
                break
            batch = ctx.hooks.run(BeforeConditioning(plan=plan, batch=batch)).batch
            sampled = sample(model, plan, batch, ctx, clock, previewer)
            with clock("decode"):
                done += finisher.batch(model, batch, sampled)
            ctx.cancel.clear_skip()
    with clock("save"):
        return finisher.outcome(done, clock.seconds, interrupted=ctx.cancel.ends_job)
