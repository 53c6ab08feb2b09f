"""Carry out one request: decide, then make."""

from dataclasses import replace
from functools import partial

from modules.domain.errors import StorageFault
from modules.domain.plan import ImagePlan, Note, Plan
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.files.atomic import write
from modules.hooks.context import JobContext
from modules.hooks.points import PlanMade
from modules.imaging.infotext import infotext
from modules.imaging.open import ImageLimits
from modules.pipeline.canvas import canvas_of
from modules.pipeline.finish import Finisher
from modules.pipeline.generate import generate
from modules.pipeline.plan import make_plan
from modules.pipeline.services import Workshop
from modules.settings.sections import Api


def run(shop: Workshop, request: Generation, ctx: JobContext) -> Outcome:
    """Make the pictures that a request asks for.

    Raises:
        InvalidRequest: the request names something that is not there, asks for too much, or brings a broken picture.
        ModelError: the checkpoint cannot be used.
        OutOfMemory: after every measure to save it.
        NumericalFault: a network produced NaN.
    """
    plan = ctx.hooks.run(PlanMade(plan=make_plan(request, ctx.settings, shop.shelf()))).plan
    canvas = canvas_of(plan, image_limits(ctx.settings.api))
    if canvas:
        notes = (*plan.notes, *(Note(text=text) for text in canvas.notes))
        plan = replace(plan, infotext_extra={**canvas.facts, **plan.infotext_extra}, notes=notes)
    for note in plan.notes:
        ctx.note(note.text)
    describe = partial(_describe, shop, ctx)
    _remember(shop, ctx, describe(plan, plan.images[0]))
    finisher = Finisher(
        plan=plan, ctx=ctx, output=shop.output, describe=describe, check_nan=shop.check_nan, canvas=canvas
    )
    return generate(plan, canvas, ctx, shop, finisher)


def image_limits(api: Api) -> ImageLimits:
    """Return how large the pictures of a request may be."""
    return ImageLimits(max_bytes=api.api_max_image_mb << 20, max_pixels=int(api.api_max_image_mpixels * 1e6))


def _describe(shop: Workshop, ctx: JobContext, plan: Plan, image: ImagePlan) -> str:
    return infotext(plan, image, ctx.settings.infotext, version=shop.version)


def _remember(shop: Workshop, ctx: JobContext, text: str) -> None:
    """Keep the text of this run for the paste button; a full disk must not stop the job."""
    if shop.last_prompt is None:
        return
    try:
        write(shop.last_prompt, text)
    except StorageFault as fault:
        ctx.note(str(fault))
