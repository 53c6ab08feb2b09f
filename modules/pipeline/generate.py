"""The whole story of a generation, from plan to pictures."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from modules.domain.events import Started
from modules.domain.plan import Plan
from modules.domain.result import Outcome, Unfinished
from modules.hooks.context import JobContext
from modules.hooks.points import BeforeConditioning
from modules.pipeline.begin import begin_on
from modules.pipeline.canvas import Canvas
from modules.pipeline.clock import Clock
from modules.pipeline.finish import Finisher, Pending
from modules.pipeline.sample import sample
from modules.pipeline.services import Workshop
from modules.pipeline.session import Session


def generate(
    plan: Plan, canvas: Canvas | None, ctx: JobContext, shop: Workshop, finisher: Callable[[], Finisher]
) -> Unfinished:
    """Make the pictures of a plan. An interrupt ends it early and keeps what there is.

    `finisher` is asked for when the first latent is ready: it waits for what the infotext needs. What is left to do
    afterwards, encoding and saving the last pictures, needs no model.

    Raises:
        ModelError: the checkpoint cannot be used.
        OutOfMemory: after every measure to save it.
        NumericalFault: a network produced NaN.
    """
    done: list[Pending] = []
    ctx.emit(Started(job_id=ctx.job_id, num_batches=plan.num_runs))
    attention, shelf = shop.attention(ctx.settings), shop.shelf()
    session = Session(
        shop.pool, shop.approximations, attention, plan.coding, ctx, shop.networks, shelf.book, shelf.upscalers
    )
    with torch.inference_mode(), session:
        session.use(plan.model)
        begin = begin_on(session, plan, canvas) if canvas else None
        for batch in plan.batches():
            if ctx.cancel.ends_job:
                break
            batch = ctx.hooks.run(BeforeConditioning(plan=plan, batch=batch)).batch
            sampled = sample(session, plan, batch, begin)
            with session.clock("decode"):
                done += finisher().batch(session.model, batch, sampled)
            ctx.cancel.clear_skip()
    return Unfinished(finish=partial(_outcome, finisher(), done, session.clock, interrupted=ctx.cancel.ends_job))


def _outcome(finisher: Finisher, done: Sequence[Pending], clock: Clock, *, interrupted: bool) -> Outcome:
    with clock("save"):
        return finisher.outcome(done, clock.seconds, interrupted=interrupted)
