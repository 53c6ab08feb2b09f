"""A1111's "Outpainting mk2": one side after another, each starting from noise like the picture."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from modules.domain.plan import ImagePlan
from modules.domain.request import Generation, MaskSpec, Size
from modules.domain.result import Outcome
from modules.domain.scripts import SIDES, OutpaintingMk2
from modules.hooks.context import JobContext
from modules.imaging.matched_noise import with_matched_noise
from modules.imaging.resize import Box
from modules.pipeline.outpaint import (
    Margins,
    checked_size,
    frame,
    margins_of,
    part_request,
    rounded_up,
    source_of,
)
from modules.pipeline.parts import Composed, outcome_of, part_of, picture, reference
from modules.pipeline.run import run
from modules.pipeline.services import Workshop

_ACROSS = ("left", "right")


def mk2(shop: Workshop, request: Generation, ctx: JobContext, spec: OutpaintingMk2) -> Outcome:
    """Widen the first init image once for every picture of the batches.

    Every side of a picture is made with the same seed. Batches go on with the next seeds.

    Raises:
        InvalidRequest: there is no init image.
        LimitExceeded: the widened picture is too large.
    """
    source = source_of(request, ctx)
    margins = margins_of(source.size, spec.pixels, spec.sides)
    checked_size(margins.around(source.size), ctx)
    sides = [side for side in SIDES if getattr(margins, side)]
    total = request.batch.count * len(sides)
    runs: list[Outcome] = []
    composed: list[Composed] = []
    following = request
    for number in range(request.batch.count):
        images, abouts = [source] * request.batch.size, tuple[ImagePlan, ...]()
        for index, side in enumerate(sides):
            rooms = [_room(image, side, getattr(margins, side), spec, margins, request.size) for image in images]
            part = _side_request(following, rooms)
            outcome = run(shop, part, part_of(ctx, number * len(sides) + index, total))
            runs.append(outcome)
            abouts = abouts or outcome.plan.images
            following = replace(following, seed=replace(following.seed, seed=abouts[0].seed))
            made = [one for one in outcome.images if not one.extra]
            images = [room.filled(picture(one, ctx)) for room, one in zip(rooms, made, strict=False)]
            if ctx.cancel.ends_job:
                break
        composed += [Composed(image=image, about=about) for image, about in zip(images, abouts, strict=False)]
        if ctx.cancel.ends_job:
            break
        following = replace(following, seed=replace(following.seed, seed=abouts[0].seed + request.batch.size))
    told = tuple(one.about for one in composed) or runs[0].plan.images
    plan = replace(runs[0].plan, images=told, request=replace(runs[0].plan.request, output=request.output))
    return outcome_of(shop, ctx, plan, composed, runs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Room:
    """A picture with room on one side, ready to be inpainted there."""

    image: Image.Image
    """With noise where there was nothing; its sides are multiples of 64."""
    size: tuple[int, int]
    """What is kept of it at the end."""
    box: Box
    """The part that is worked on."""
    mask: Image.Image
    """Of that part."""
    latent: Image.Image
    """Of that part, for the latent."""
    blur: tuple[int, int]

    def filled(self, made: Image.Image) -> Image.Image:
        """Put a result into its place."""
        result = self.image.copy()
        left = 0 if self.box[0] == 0 and self.box[2] < result.width else result.width - made.width
        top = 0 if self.box[1] == 0 and self.box[3] < result.height else result.height - made.height
        result.paste(made, (left, top))
        return result.crop((0, 0, *self.size))


def _room(image: Image.Image, side: str, count: int, spec: OutpaintingMk2, margins: Margins, run_size: Size) -> _Room:
    """Make room on one side and fill it with noise."""
    across = side in _ACROSS
    size = (image.width + count, image.height) if across else (image.width, image.height + count)
    wide = Image.new("RGB", (rounded_up(size[0]), rounded_up(size[1])))
    wide.paste(image, (count if side == "left" else 0, count if side == "up" else 0))
    blur = (
        spec.mask_blur if margins.left or margins.right else 0,
        spec.mask_blur if margins.up or margins.down else 0,
    )
    inset = blur[0] if across else blur[1]
    mask = frame(wide.size, _kept(side, count + inset, size, wide.size))
    latent = frame(wide.size, _kept(side, count + 2 * inset, size, wide.size))
    values, hidden = (np.asarray(one.convert("RGB"), dtype=np.float64) / 255 for one in (wide, mask))
    noised = with_matched_noise(values, hidden, exponent=spec.noise_exponent, colour_variation=spec.colour_variation)
    box = _worked_on(side, size, wide.size, run_size)
    return _Room(
        image=Image.fromarray((noised * 255).clip(0, 255).astype(np.uint8)),
        size=size,
        box=box,
        mask=mask.crop(box),
        latent=latent.crop(box),
        blur=(blur[0] * 4, blur[1] * 4),
    )


def _kept(side: str, depth: int, size: tuple[int, int], wide: tuple[int, int]) -> Box:
    """Return the box that stays as it is when one side is repainted to some depth."""
    return (
        depth if side == "left" else 0,
        depth if side == "up" else 0,
        wide[0] - depth if side == "right" else size[0],
        wide[1] - depth if side == "down" else size[1],
    )


def _worked_on(side: str, size: tuple[int, int], wide: tuple[int, int], run_size: Size) -> Box:
    """Return the part of a widened picture at that side, of the size of the request along it and whole beside it."""
    width = min(run_size.width, size[0]) if side in _ACROSS else wide[0]
    height = wide[1] if side in _ACROSS else min(run_size.height, size[1])
    left = 0 if side == "left" else wide[0] - width
    top = 0 if side == "up" else wide[1] - height
    return left, top, left + width, top + height


def _side_request(request: Generation, rooms: list[_Room]) -> Generation:
    first = rooms[0]
    mask = MaskSpec(
        image=reference(first.mask),
        latent=reference(first.latent),
        blur_x=first.blur[0],
        blur_y=first.blur[1],
        fill=1,
    )
    part = part_request(request, tuple(reference(room.image.crop(room.box)) for room in rooms), mask)
    return replace(part, size=Size(width=first.mask.width, height=first.mask.height))
