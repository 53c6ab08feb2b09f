"""The script: enlarge a picture, then repaint it tile by tile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.param import param
from modules.domain.plan import ImagePlan
from modules.domain.request import BatchSpec, Generation, OutputSpec
from modules.domain.result import Outcome
from modules.extending.script import IMG2IMG, Offer, Panel, ScriptRun
from modules.imaging.tiles import Place, Tiling, joined, tiling_of
from modules.imaging.upscale import NO_UPSCALER, reach

FIELD = "script_args"
Tiles = tuple[Outcome, Mapping[Place, Image.Image]]
"""A run, and its pictures by where they belong."""
NOTE = "Will upscale the image by the selected scale factor; use width and height sliders to set tile size"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleParams:
    """The arguments, in A1111's order."""

    info: Any = param("", label="")
    overlap: int = param(
        64, label="Tile overlap", infotext="SD upscale overlap", ge=0, le=4096, slider=(0, 256), step=16
    )
    upscaler_index: Any = param(NO_UPSCALER, label="Upscaler", infotext="SD upscale upscaler")
    scale_factor: float = param(2.0, label="Scale Factor", ge=1, le=16, slider=(1, 4), step=0.05)


class SdUpscale:
    """Repaints tiles of the size of the request, which fade into each other where they overlap."""

    id, label, tabs, Params = "sd_upscale", "SD upscale", (IMG2IMG,), UpscaleParams

    def build(self, panel: Panel) -> None:
        """Build the controls."""
        import gradio as gr

        panel.keep("info", gr.HTML(f'<p class="note">{NOTE}</p>', apply_default_css=False))
        panel.control("overlap")
        panel.control("scale_factor")
        names = list(panel.offer().lists["upscalers"])
        panel.keep(
            "upscaler_index",
            gr.Dropdown(names, value=NO_UPSCALER, label="Upscaler", elem_id=f"{panel.element}_upscaler_index"),
        )

    def choices(self, offer: Offer) -> Mapping[str, Sequence[str]]:
        """Name the upscalers."""
        return {"upscaler_index": offer.lists["upscalers"]}

    def run(self, run: ScriptRun) -> Outcome:
        """Make the tiles; batches repeat the whole with the next seed.

        Raises:
            InvalidRequest: no init image, a mask, an unknown upscaler, or tiles that cannot overlap as wanted.
            LimitExceeded: the result is too large, or has too many tiles.
        """
        request, params = _checked(run.request), run.params
        name = _upscaler(run, params.upscaler_index)
        image = _enlarged(run, request, name, params.scale_factor)
        tiling = _tiling(image.size, request, params.overlap)
        boxes, size, count = list(tiling.boxes()), request.batch.size, request.batch.count
        _check_count(run, len(boxes) * count)
        groups = [boxes[start : start + size] for start in range(0, len(boxes), size)]
        seed = run.bench.plan(_part(run, request, image, groups[0])).images[0].seed
        repeats: list[list[Tiles]] = []
        for number in range(count):
            if repeats and run.ctx.cancel.ends_job:
                break
            first, total = number * len(groups), count * len(groups)
            repeats.append(_tiles(run, _seeded(request, seed + number), image, groups, first=first, total=total))
        told = {"SD upscale overlap": params.overlap, "SD upscale upscaler": name}
        return _composed(run, request, tiling, image, repeats, told)


def _composed(
    run: ScriptRun, request: Generation, tiling: Tiling, image: Image.Image, repeats: Sequence[Sequence[Tiles]],
    told: Mapping[str, Any],
) -> Outcome:  # fmt: skip
    """Join the tiles of each repetition; those that an early end left out stay as they were enlarged."""
    made: list[tuple[Image.Image, ImagePlan]] = []
    for repeat in repeats:
        tiles = {place: tile for _, part in repeat for place, tile in part.items()}
        whole = joined(tiling, {place: tiles.get(place) or image.crop(box) for place, box in tiling.boxes()})
        made.append((whole, repeat[0][0].plan.images[0]))
    plan = repeats[0][0][0].plan
    # As in A1111: all_seeds has the seeds of the last tiles, and the text that of the first.
    plan = replace(
        plan, images=tuple(repeat[-1][0].plan.images[-1] for repeat in repeats),
        infotext_extra={**plan.infotext_extra, **told}, request=replace(plan.request, output=request.output),
    )  # fmt: skip
    return run.bench.composed(plan, made, [outcome for repeat in repeats for outcome, _ in repeat])


def _checked(request: Generation) -> Generation:
    if request.mask is not None:
        raise InvalidRequest("SD upscale repaints the whole picture; take the mask away", field="mask")
    if not isinstance(request.prompt, str) or not isinstance(request.negative_prompt, str):
        raise InvalidRequest("SD upscale takes one prompt, not a list", field="prompt")
    return request


def _upscaler(run: ScriptRun, named: Any) -> str:
    """Find an upscaler by its place or its name.

    Raises:
        InvalidRequest: there is none.
    """
    names = [NO_UPSCALER, *run.bench.shop.shelf().upscalers]
    if isinstance(named, int) and not isinstance(named, bool) and 0 <= named < len(names):
        return names[named]
    found = next((name for name in names if isinstance(named, str) and name.lower() == named.lower()), None)
    if found is None:
        raise InvalidRequest(f"there is no upscaler {named!r:.50}; known are {', '.join(names)}", field=FIELD)
    return found


def _enlarged(run: ScriptRun, request: Generation, name: str, factor: float) -> Image.Image:
    """Enlarge the first init image.

    Raises:
        LimitExceeded: it would be too large.
    """
    settings = run.ctx.settings
    source = run.bench.source(request)
    if name == NO_UPSCALER:
        return source
    size = int(source.width * factor) // 8 * 8, int(source.height * factor) // 8 * 8
    limit = settings.api.api_max_upscaled_mpixels
    if size[0] * size[1] > limit * 1e6:
        raise LimitExceeded("the enlarged picture", f"{size[0]}x{size[1]}", f"{limit:g} megapixels", "api_max_upscaled_mpixels")  # fmt: skip
    return reach(source, size, factor, run.bench.shop.shelf().upscalers[name]).convert("RGB")


def _tiling(size: tuple[int, int], request: Generation, overlap: int) -> Tiling:
    try:
        return tiling_of(size, (request.size.width, request.size.height), overlap)
    except ValueError as error:
        raise InvalidRequest(f"{error}; choose less overlap or a larger width and height", field=FIELD) from error


def _check_count(run: ScriptRun, count: int) -> None:
    limit = run.ctx.settings.api.api_max_images_per_request
    if count > limit:
        raise LimitExceeded("the tiles of SD upscale", count, limit, "api_max_images_per_request")


def _seeded(request: Generation, seed: int) -> Generation:
    return replace(request, seed=replace(request.seed, seed=seed))


def _part(run: ScriptRun, request: Generation, image: Image.Image, group: Sequence[tuple[Place, Any]]) -> Generation:
    """Return the request for some tiles; they are saved nowhere."""
    request = run.bench.starting_from(request, [image.crop(box) for _, box in group])
    return replace(request, batch=BatchSpec(size=len(group)), output=OutputSpec(user=request.output.user))


def _tiles(
    run: ScriptRun, request: Generation, image: Image.Image, groups: Sequence[Sequence[tuple[Place, Any]]], *,
    first: int, total: int,
) -> list[Tiles]:  # fmt: skip
    """Repaint all tiles, each group with the seed after that of the one before; an early end leaves some out."""
    made: list[Tiles] = []
    for number, group in enumerate(groups):
        if number and run.ctx.cancel.ends_job:
            break
        outcome = run.make(_part(run, request, image, group), first=first + number, total=total, shown=False)
        pictures = [run.bench.picture(one) for one in outcome.images if not one.extra]
        made.append((outcome, {place: tile for (place, _), tile in zip(group, pictures, strict=False)}))
        request = _seeded(request, outcome.plan.images[0].seed + 1)
    return made
