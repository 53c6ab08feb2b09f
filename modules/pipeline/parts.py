"""One job made of several runs: what they share, how far they are together, what comes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from modules.domain.errors import InvalidRequest
from modules.domain.events import Event, ImageReady, Progressed, Started
from modules.domain.plan import ImagePlan, Plan
from modules.domain.request import Generation, ImageRef, InitSpec
from modules.domain.result import Outcome, Produced
from modules.hooks.context import JobContext
from modules.imaging.encode import encode
from modules.imaging.infotext import infotext
from modules.imaging.open import open_image
from modules.pipeline.finish import Finisher, Pending
from modules.pipeline.run import image_limits
from modules.pipeline.services import Workshop


def part_of(ctx: JobContext, first: int, total: int, *, results: bool = False) -> JobContext:
    """Return the surroundings of one run of several.

    Args:
        ctx: of the job.
        first: how many runs of the sampler came before.
        total: how many there are in all.
        results: whether the pictures of this run are results of the job.
    """

    def emit(event: Event) -> None:
        match event:
            case Started():
                ctx.emit(replace(event, num_batches=total))
            case Progressed():
                ctx.emit(replace(event, batch=min(first + event.batch, total - 1), num_batches=total))
            case ImageReady() if not results:
                pass
            case _:
                ctx.emit(event)

    return replace(ctx, emit=emit)


def init_of(request: Generation) -> InitSpec:
    """Return what a run starts from.

    Raises:
        InvalidRequest: it starts from noise.
    """
    if request.init is None or not request.init.images:
        raise InvalidRequest("Init image not found", field="init_images")
    return request.init


def opened(ref: ImageRef, ctx: JobContext, field: str = "init_images") -> Image.Image:
    """Open a picture of a request.

    Raises:
        InvalidImage: it cannot be read.
        InvalidRequest: it was not kept.
    """
    if ref.data is None:
        raise InvalidRequest("the picture of this request was not kept", field=field)
    return open_image(ref.data, image_limits(ctx.settings.api), field=field)


def reference(image: Image.Image) -> ImageRef:
    """Make a picture part of a request."""
    return ImageRef.of(encode(image, "png", None).data)


def picture(produced: Produced, ctx: JobContext) -> Image.Image:
    """Return the pixels of a result, RGB."""
    return open_image(produced.data, image_limits(ctx.settings.api)).convert("RGB")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composed:
    """A picture put together from several runs."""

    image: Image.Image
    about: ImagePlan
    """Whose seed and prompts it tells."""


def outcome_of(
    shop: Workshop, ctx: JobContext, plan: Plan, pictures: Sequence[Composed], runs: Sequence[Outcome]
) -> Outcome:
    """Describe, encode and save pictures that were put together.

    Args:
        shop: saves them.
        ctx: of the job.
        plan: what infotexts and file names tell.
        pictures: the results.
        runs: what they were made of.
    """
    describe = partial(_describe, shop, ctx)
    finisher = Finisher(plan=plan, ctx=ctx, output=shop.output, describe=describe)
    save = plan.request.output.save_images and ctx.settings.saving.samples_save
    pending: list[Pending] = []
    for one in pictures:
        text = describe(plan, one.about)
        future = shop.output.submit(one.image, text, plan, one.about, ctx.settings, save=save)
        future.add_done_callback(finisher.announce)
        pending.append(Pending(pixels=one.image, produced=future, plan=plan))
    seconds: dict[str, float] = {}
    for run in runs:
        for stage, spent in run.timings.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    made = finisher.outcome(pending, seconds, interrupted=ctx.cancel.ends_job)
    return replace(made, seed=pictures[0].about.seed) if pictures else made


def joined(
    outcomes: Sequence[Outcome], images: Sequence[Produced] | None = None, *, interrupted: bool = False
) -> Outcome:
    """Return what came of several runs as one outcome, whose plan is the first one with the pictures of all.

    Args:
        outcomes: at least one.
        images: the results; all pictures of all runs when left out.
        interrupted: whether the job was ended early.
    """
    first, seconds = outcomes[0].plan, dict[str, float]()
    planned = [image for one in outcomes for image in one.plan.images]
    for one in outcomes:
        for stage, spent in one.timings.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    made = [image for one in outcomes for image in one.images]
    faults = [one.save_error for one in (*made, *(images or ())) if one.save_error]
    return Outcome(
        plan=replace(first, images=tuple(replace(image, index=place) for place, image in enumerate(planned))),
        images=tuple(made if images is None else images),
        interrupted=interrupted,
        timings=seconds,
        notes=tuple(dict.fromkeys(note for one in outcomes for note in one.notes)),
        save_error=faults[0] if faults else None,
    )


def _describe(shop: Workshop, ctx: JobContext, plan: Plan, image: ImagePlan) -> str:
    return infotext(plan, image, ctx.settings.infotext, version=shop.version)
