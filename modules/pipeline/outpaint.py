"""A1111's "Poor man's outpainting": the border of a widened picture, inpainted tile by tile."""

from dataclasses import dataclass, replace
from math import ceil

from PIL import Image, ImageDraw

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.request import BatchSpec, Generation, ImageRef, MaskSpec, OutputSpec, Size
from modules.domain.result import Outcome
from modules.domain.scripts import SIDES, PoorMansOutpainting
from modules.hooks.context import JobContext
from modules.imaging.resize import Box, flatten
from modules.imaging.tiles import Place, Tiling, joined, tiling_of
from modules.pipeline.parts import Composed, init_of, opened, outcome_of, part_of, picture, reference
from modules.pipeline.run import run
from modules.pipeline.services import Workshop

STEP_PX = 64
"""The widened picture has sides of multiples of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Pixels added on each side."""

    left: int = 0
    right: int = 0
    up: int = 0
    down: int = 0

    def around(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return width and height of the widened picture."""
        return size[0] + self.left + self.right, size[1] + self.up + self.down


def margins_of(size: tuple[int, int], pixels: int, sides: frozenset[str]) -> Margins:
    """Share what is added, rounded up so that the picture's sides become multiples of 64, between the wanted sides."""
    left, right, up, down = (pixels if side in sides else 0 for side in SIDES)
    left, right = _shared(size[0], left, right)
    up, down = _shared(size[1], up, down)
    return Margins(left=left, right=right, up=up, down=down)


def poor_mans(shop: Workshop, request: Generation, ctx: JobContext, spec: PoorMansOutpainting) -> Outcome:
    """Widen the first init image and inpaint the tiles that touch what was added, one after another.

    Each tile has the size of the request and the next seed; the result tells the first one. A tile that an early end
    leaves out stays as it was.

    Raises:
        InvalidRequest: there is no init image, or tiles cannot overlap as wanted.
        LimitExceeded: the widened picture is too large.
    """
    source = source_of(request, ctx)
    margins = margins_of(source.size, spec.pixels, spec.sides)
    size = checked_size(margins.around(source.size), ctx)
    wide = Image.new("RGB", size)
    wide.paste(source, (margins.left, margins.up))
    tiling = _tiling(size, request.size, spec.pixels)
    todo = [(place, box) for place, box in tiling.boxes() if not _untouched(box, margins, size)]
    _check_count(len(todo), ctx)
    mask, latent = (frame(size, _inner(margins, size, inset)) for inset in (spec.mask_blur * 2, spec.mask_blur // 2))
    runs: dict[Place, Outcome] = {}
    for number, (place, box) in enumerate(todo):
        if runs and ctx.cancel.ends_job:
            break
        painted = MaskSpec(
            image=reference(mask.crop(box)),
            latent=reference(latent.crop(box)),
            blur_x=spec.mask_blur * 2,
            blur_y=spec.mask_blur * 2,
            fill=spec.fill,
        )
        part = part_request(request, (reference(wide.crop(box)),), painted)
        runs[place] = run(shop, part, part_of(ctx, number, len(todo)))
        next_seed = runs[place].plan.images[0].seed + 1
        request = replace(request, seed=replace(request.seed, seed=next_seed))
    return _composed(shop, request, ctx, spec, wide, tiling, runs)


def source_of(request: Generation, ctx: JobContext) -> Image.Image:
    """Open what is to be widened.

    Raises:
        InvalidRequest: there is no init image, or there are prompts for several pictures.
    """
    if not isinstance(request.prompt, str) or not isinstance(request.negative_prompt, str):
        raise InvalidRequest("outpainting takes one prompt, not a list", field="prompt")
    return flatten(opened(init_of(request).images[0], ctx), ctx.settings.img2img.img2img_background_color)


def checked_size(size: tuple[int, int], ctx: JobContext) -> tuple[int, int]:
    """Return a size that may be made.

    Raises:
        LimitExceeded: it is too large.
    """
    limit = ctx.settings.api.api_max_result_mpixels
    if size[0] * size[1] > limit * 1e6:
        raise LimitExceeded(
            "the widened picture", f"{size[0]}x{size[1]}", f"{limit:g} megapixels", "api_max_result_mpixels"
        )
    return size


def part_request(request: Generation, images: tuple[ImageRef, ...], mask: MaskSpec) -> Generation:
    """Return the request for one part: what was asked for, on other pictures, saved nowhere."""
    given = request.mask
    if given is not None:
        mask = replace(mask, rounded=given.rounded, invert=given.invert, soft=given.soft)
    return replace(
        request,
        script=None,
        init=replace(init_of(request), images=images),
        mask=mask,
        batch=BatchSpec(size=len(images)),
        output=OutputSpec(user=request.output.user),
    )


def frame(size: tuple[int, int], box: Box) -> Image.Image:
    """Return a white mask with a black box, whose last row and column belong to it."""
    mask = Image.new("L", size, 255)
    if box[0] <= box[2] and box[1] <= box[3]:
        ImageDraw.Draw(mask).rectangle(box, fill=0)
    return mask


def rounded_up(pixels: int) -> int:
    """Return the next multiple of 64."""
    return ceil(pixels / STEP_PX) * STEP_PX


def _shared(length: int, before: int, after: int) -> tuple[int, int]:
    more = rounded_up(length + before + after) - length
    first = before * more // (before + after) if before else 0
    return first, more - first if after else 0


def _inner(margins: Margins, size: tuple[int, int], inset: int) -> Box:
    """Return where the original lies in a widened picture of `size`, smaller by `inset` where it was widened."""
    return (
        margins.left + (inset if margins.left else 0),
        margins.up + (inset if margins.up else 0),
        size[0] - margins.right - (inset if margins.right else 0),
        size[1] - margins.down - (inset if margins.down else 0),
    )


def _untouched(box: Box, margins: Margins, size: tuple[int, int]) -> bool:
    """Tell whether a tile shows nothing but the original."""
    left, top, right, bottom = box
    return (
        left >= margins.left
        and right <= size[0] - margins.right
        and top >= margins.up
        and bottom <= size[1] - margins.down
    )


def _tiling(size: tuple[int, int], tile: Size, overlap: int) -> Tiling:
    try:
        return tiling_of(size, (tile.width, tile.height), overlap)
    except ValueError as error:
        raise InvalidRequest(
            f"{error}; choose fewer pixels or a larger width and height", field="script_args"
        ) from error


def _check_count(count: int, ctx: JobContext) -> None:
    limit = ctx.settings.api.api_max_images_per_request
    if count > limit:
        raise LimitExceeded("the tiles of outpainting", count, limit, "api_max_images_per_request")


def _composed(
    shop: Workshop,
    request: Generation,
    ctx: JobContext,
    spec: PoorMansOutpainting,
    wide: Image.Image,
    tiling: Tiling,
    runs: dict[Place, Outcome],
) -> Outcome:
    """Join what was made with what was left as it was."""
    outcomes = list(runs.values())
    first, last = outcomes[0].plan, outcomes[-1].plan
    told = {key: value for key, value in first.infotext_extra.items() if spec.tell_fill or key != "Masked content"}
    # A1111 answers with the seed of the last tile in all_seeds, and tells that of the first.
    plan = replace(last, infotext_extra=told, request=replace(last.request, output=request.output))
    made = {place: picture(one.images[0], ctx) for place, one in runs.items() if one.images}
    if not made:
        return outcome_of(shop, ctx, plan, [], outcomes)
    image = joined(tiling, {place: made.get(place) or wide.crop(box) for place, box in tiling.boxes()})
    return outcome_of(shop, ctx, plan, [Composed(image=image, about=first.images[0])], outcomes)
