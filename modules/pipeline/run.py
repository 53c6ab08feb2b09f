"""Carry out one request: decide, then make."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from threading import Event

from modules.domain.errors import PathRefused, StorageFault
from modules.domain.plan import ImagePlan, Note, Plan
from modules.domain.request import Generation
from modules.domain.result import Outcome, Unfinished
from modules.files.atomic import write
from modules.hooks.context import JobContext
from modules.hooks.points import PlanMade
from modules.imaging.infotext import infotext
from modules.imaging.open import ImageLimits
from modules.library.hashes import Cancelled
from modules.pipeline.canvas import Canvas, canvas_of, pixel_hash
from modules.pipeline.faces import restorer_for
from modules.pipeline.finish import Finisher
from modules.pipeline.generate import generate
from modules.pipeline.networks import with_hashes
from modules.pipeline.plan import make_plan
from modules.pipeline.services import Workshop
from modules.settings.sections import Api


def run(shop: Workshop, request: Generation, ctx: JobContext) -> Outcome:
    """Make the pictures that a request asks for, and wait until they are saved; see `set_out`."""
    return set_out(shop, request, ctx).finish()


def set_out(shop: Workshop, request: Generation, ctx: JobContext) -> Unfinished:
    """Make the pictures that a request asks for, up to the point where no model is needed any more.

    Raises:
        InvalidRequest: the request names something that is not there, asks for too much, or brings a broken picture.
        ModelError: the checkpoint cannot be used.
        OutOfMemory: after every measure to save it.
        NumericalFault: a network produced NaN.
    """
    heard: list[Note] = []
    ctx = replace(ctx, hooks=ctx.hooks.noting(partial(_hear, ctx, heard)))
    plan = ctx.hooks.run(PlanMade(plan=make_plan(request, ctx.settings, shop.shelf()))).plan
    grow = shop.shelf().upscalers.get(ctx.settings.upscaling.upscaler_for_img2img or "")
    canvas = canvas_of(plan, image_limits(ctx.settings.api), grow)
    if canvas:
        notes = (*plan.notes, *(Note(text=text) for text in canvas.notes))
        plan = replace(plan, infotext_extra={**canvas.facts, **plan.infotext_extra}, notes=notes)
        _keep_received(shop, ctx, canvas)
    for note in plan.notes:
        ctx.note(note.text)
    ended = Event()
    # Hashing reads whole files, so it runs beside loading and sampling; the first finished picture waits for it.
    with ThreadPoolExecutor(1, thread_name_prefix="describe") as beside:
        described = beside.submit(_described, shop, ctx, plan, ended.is_set)
        finisher = partial(_finisher, shop, ctx, canvas, described)
        try:
            unfinished = generate(plan, canvas, ctx, shop, cache(finisher))
        finally:
            ended.set()

    def finish() -> Outcome:
        outcome = unfinished.finish()
        _keep_text(shop, ctx, outcome)
        return _with_notes(outcome, heard)

    return Unfinished(finish=finish)


def _keep_text(shop: Workshop, ctx: JobContext, outcome: Outcome) -> None:
    """Keep the text of the first picture for the paste button; it may tell more than what was known at the start."""
    if shop.last_prompt is None or not outcome.images:
        return
    try:
        write(shop.last_prompt, outcome.images[0].infotext)
    except StorageFault as fault:
        ctx.note(str(fault))


def _hear(ctx: JobContext, heard: list[Note], text: str) -> None:
    """Keep what an extension did wrong, and tell it at once."""
    heard.append(Note(text=text))
    ctx.note(text)


def _with_notes(outcome: Outcome, heard: Sequence[Note]) -> Outcome:
    return replace(outcome, notes=(*outcome.notes, *heard)) if heard else outcome


def _keep_received(shop: Workshop, ctx: JobContext, canvas: Canvas) -> None:
    """Keep the pictures that the run starts from; a full disk is no reason not to make pictures."""
    for image in canvas.received:
        try:
            shop.output.keep(image, pixel_hash(image), ctx.settings).result()
        except (StorageFault, PathRefused) as fault:
            ctx.note(str(fault))


def image_limits(api: Api) -> ImageLimits:
    """Return how large the pictures of a request may be."""
    return ImageLimits(max_bytes=api.api_max_image_mb << 20, max_pixels=int(api.api_max_image_mpixels * 1e6))


def _describe(shop: Workshop, ctx: JobContext, plan: Plan, image: ImagePlan) -> str:
    return infotext(plan, image, ctx.settings.infotext, version=shop.version)


def _described(shop: Workshop, ctx: JobContext, plan: Plan, cancelled: Cancelled) -> tuple[Plan, StorageFault | None]:
    """Complete a plan with the hash of its model and keep its text for the paste button; a full disk is no error here."""
    shelf = shop.shelf()
    plan = replace(plan, model=shelf.hashed(plan.model, cancelled))
    plan = with_hashes(plan, shelf.hashes, ctx.settings.extra_networks, cancelled)
    try:
        if shop.last_prompt is not None:
            write(shop.last_prompt, _describe(shop, ctx, plan, plan.images[0]))
    except StorageFault as fault:
        return plan, fault
    return plan, None


def _finisher(
    shop: Workshop, ctx: JobContext, canvas: Canvas | None, described: Future[tuple[Plan, StorageFault | None]]
) -> Finisher:
    plan, fault = described.result()
    if fault is not None:
        ctx.note(str(fault))
    known, describe = shop.shelf().face_restorers, partial(_describe, shop, ctx)
    name, _ = restorer_for(plan.request, ctx.settings, known)
    return Finisher(
        plan=plan, ctx=ctx, output=shop.output, describe=describe, check_nan=shop.check_nan, canvas=canvas,
        restore=known.get(name),
    )  # fmt: skip
