"""The whole story of a generation, from plan to pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import torch

from modules.domain.events import Started
from modules.domain.plan import Plan
from modules.domain.result import Outcome, Unfinished
from modules.hooks.context import JobContext
from modules.hooks.points import BeforeBatches, BeforeConditioning
from modules.pipeline.begin import Begin, begin_on
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
        shop.pool,
        shop.approximations,
        attention,
        plan.coding,
        ctx,
        shop.networks,
        shelf.book,
        shelf.upscalers,
        shelf.unets,
    )
    with torch.inference_mode(), session:
        session.use(plan.model)
        begin = begin_on(session, plan, canvas) if canvas else None
        if ctx.hooks.has(BeforeBatches):
            begin = _shown(ctx, plan, canvas, begin)
        for batch in plan.batches():
            if ctx.cancel.ends_job:
                break
            batch = ctx.hooks.run(BeforeConditioning(plan=plan, batch=batch)).batch
            sampled = sample(session, plan, batch, begin)
            with session.clock("decode"):
                done += finisher().batch(session.model, batch, sampled)
            ctx.cancel.clear_skip()
    return Unfinished(finish=partial(_outcome, finisher(), done, session.clock, interrupted=ctx.cancel.ends_job))


def _shown(ctx: JobContext, plan: Plan, canvas: Canvas | None, begin: Begin | None) -> Begin | None:
    """Let extensions look at what the pictures start from."""
    mask = begin.mask if begin else None
    payload = BeforeBatches(
        plan=plan, latent=begin.latent if begin else None, repaint=mask.repaint if mask else None,
        extras=begin.extras if begin else MappingProxyType({}), overlays=canvas.overlays if canvas else (),
        overlay_mask=canvas.shown_mask if canvas else None, box=canvas.box if canvas else None,
    )  # fmt: skip
    changed = ctx.hooks.run(payload)
    if changed is payload or begin is None or changed.latent is None:
        return begin
    if mask is not None and changed.repaint is not None:
        clean = mask.clean if changed.latent is begin.latent else changed.latent
        mask = replace(mask, clean=clean, repaint=changed.repaint)
    return replace(begin, latent=changed.latent, mask=mask, extras=changed.extras)


def _outcome(finisher: Finisher, done: Sequence[Pending], clock: Clock, *, interrupted: bool) -> Outcome:
    with clock("save"):
        return finisher.outcome(done, clock.seconds, interrupted=interrupted)
