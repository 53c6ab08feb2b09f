"""A run for every picture of a folder; one that fails is told and does not stop the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.limits import check
from modules.domain.request import PNG_INFO_PROPS, FolderSpec, Generation, ImageRef, MaskSpec, OutputSpec, Size
from modules.domain.result import FileReport, Outcome, Produced
from modules.files import atomic
from modules.files.paths import safe_name
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.imaging.infotext_parse import parse_infotext
from modules.imaging.open import ImageLimits, open_image
from modules.imaging.pictures_in import SUFFIXES, pictures_in, read_picture
from modules.imaging.read_info import read_picture_info
from modules.pipeline.parts import init_of, part_of
from modules.pipeline.plan import draw_seed, make_plan
from modules.pipeline.run import image_limits
from modules.pipeline.services import Workshop
from modules.settings.limits import limits_of

Make = Callable[[Generation, JobContext], Outcome]
"""Carries out the request for one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """The folders of a run, found and allowed."""

    input: Path
    output: Path | None
    masks: Mapping[str, Path] | None
    """By name without extension; None when none are wanted."""
    infos: Mapping[str, Path]


def folder_run(shop: Workshop, request: Generation, ctx: JobContext, spec: FolderSpec, make: Make) -> Outcome:
    """Make every picture of a folder; called again, it goes on with those that have no results yet.

    With an output folder results are named after their pictures and nothing is ever overwritten. One seed holds for
    all pictures. The outcome shows as many as the setting `img2img_batch_show_results_limit` says, and tells of each
    file what became of it in `files`.

    Args:
        shop: of the pipeline.
        request: what to do with each picture; it has no init image of its own.
        ctx: of the job.
        spec: the folders.
        make: carries out the request for one picture.

    Raises:
        InvalidRequest: a folder is missing or holds no pictures.
        PathRefused: a folder is none where pictures may lie.
    """
    places = _places(shop, spec)
    files = pictures_in(places.input)
    if not files:
        raise InvalidRequest(f"{places.input.name} holds no pictures", field="input")
    names = _names(files)
    base = _base(request, places)
    count, limit = request.batch.count, ctx.settings.img2img.img2img_batch_show_results_limit
    reports: list[FileReport] = []
    shown: list[Produced] = []
    last: Outcome | None = None
    for number, file in enumerate(files):
        if ctx.cancel.ends_job:
            break
        # The pictures of a job are kept in memory while it is remembered, so those beyond the limit are not announced.
        announced = limit < 0 or len(shown) < limit
        part = part_of(ctx, number * count, len(files) * count, results=announced)
        report, outcome = _one(shop, base, part, spec, places, file, names[file], make)
        reports.append(report)
        last = outcome or last
        images = outcome.images if outcome else ()
        shown += images if limit < 0 else images[: limit - len(shown)]
    plan = last.plan if last else make_plan(base, ctx.settings, shop.shelf())
    return Outcome(
        plan=plan,
        images=tuple(shown),
        interrupted=ctx.cancel.ends_job,
        notes=plan.notes,
        save_error=last.save_error if last else None,
        files=tuple(reports),
    )


def _one(
    shop: Workshop,
    base: Generation,
    ctx: JobContext,
    spec: FolderSpec,
    places: _Places,
    file: Path,
    name: str,
    make: Make,
) -> tuple[FileReport, Outcome | None]:
    """Make one picture, unless it has its results."""
    targets = [name] if _num_results(base) == 1 else [f"{name}-{i + 1}" for i in range(_num_results(base))]
    if places.output and all(_taken(places.output, target) for target in targets):
        return FileReport(name=file.name, state="kept"), None
    mask = _mask_of(places, file)
    if places.masks is not None and mask is None:
        return FileReport(name=file.name, state="no mask"), None
    try:
        outcome = make(_request_for(shop, base, ctx, spec, places, file, mask), ctx)
        if places.output and ctx.cancel.reason is not CancelReason.INTERRUPT:
            outcome = _saved(outcome, places.output, targets)
    except WebuiError as error:
        ctx.note(f"{file.name}: {error}")
        return FileReport(name=file.name, state="failed", reason=str(error)), None
    saved = tuple(image.saved_as for image in outcome.images if image.saved_as)
    return FileReport(name=file.name, state="made", saved_as=saved), outcome


def _places(shop: Workshop, spec: FolderSpec) -> _Places:
    source = _existing(shop, spec.input, "input")
    output = shop.output.folder(spec.output) if spec.output else None
    if output == source:
        raise InvalidRequest("choose another folder than the one that is read", field="output")
    if output:
        atomic.make_folder(output)
    return _Places(
        input=source,
        output=output,
        masks=_by_stem(_existing(shop, spec.masks, "masks")) if spec.masks else None,
        infos=_by_stem(_existing(shop, spec.png_info, "png_info")) if spec.use_png_info and spec.png_info else {},
    )


def _existing(shop: Workshop, configured: str, field: str) -> Path:
    folder = shop.output.folder(configured)
    if not configured or not folder.is_dir():
        raise InvalidRequest("there is no such folder", field=field)
    return folder


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in pictures_in(folder)}


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """Name results after their pictures; pictures that differ by extension only keep it."""
    stems = [file.stem for file in files]
    return {
        file: safe_name(file.stem if stems.count(file.stem) == 1 else f"{file.stem}-{file.suffix[1:]}")
        for file in files
    }


def _base(request: Generation, places: _Places) -> Generation:
    if not isinstance(request.prompt, str) or not isinstance(request.negative_prompt, str):
        raise InvalidRequest("a folder takes one prompt, not a list", field="prompt")
    seed = request.seed if request.seed.seed >= 0 else replace(request.seed, seed=draw_seed())
    output = OutputSpec(user=request.output.user) if places.output else replace(request.output, save_grid=False)
    return replace(request, folder=None, seed=seed, output=output)


def _num_results(base: Generation) -> int:
    return base.batch.size * base.batch.count


def _taken(folder: Path, name: str) -> bool:
    return any((folder / f"{name}{suffix}").exists() for suffix in SUFFIXES)


def _mask_of(places: _Places, file: Path) -> Path | None:
    masks = places.masks or {}
    return next(iter(masks.values())) if len(masks) == 1 else masks.get(file.stem)


def _request_for(
    shop: Workshop,
    base: Generation,
    ctx: JobContext,
    spec: FolderSpec,
    places: _Places,
    file: Path,
    mask: Path | None,
) -> Generation:
    """Fill in what belongs to one picture."""
    limits = image_limits(ctx.settings.api)
    data = read_picture(file, limits)
    asked = replace(base, init=replace(base.init or init_of(base), images=(ImageRef.of(data),)))
    if mask:
        asked = replace(asked, mask=replace(asked.mask or MaskSpec(), image=ImageRef.of(read_picture(mask, limits))))
    if spec.scale is not None:
        asked = _scaled(asked, data, spec.scale, limits)
        check(asked, limits_of(ctx.settings))
    if not spec.use_png_info:
        return asked
    other = places.infos.get(file.stem)
    text = read_picture_info(read_picture(other, limits) if other else data, limits).infotext
    if not text:
        return asked
    informed = _informed(shop, asked, parse_infotext(text), spec.png_info_props)
    check(informed, limits_of(ctx.settings))
    return informed


def _scaled(asked: Generation, data: bytes, scale: float, limits: ImageLimits) -> Generation:
    """Give a request the size of a picture times a factor, whole pixels."""
    width, height = open_image(data, limits).size
    return replace(asked, size=Size(width=int(width * scale), height=int(height * scale)))


def _informed(shop: Workshop, asked: Generation, parsed: Mapping[str, Any], props: Sequence[str]) -> Generation:
    """Take over what a picture tells about itself; prompts are appended with a blank."""
    found = {key: parsed[key] for key in PNG_INFO_PROPS if key in props and parsed.get(key) not in (None, "")}
    prompt, negative = (
        f"{text} {found[key]}".strip() if key in found else text
        for key, text in (("Prompt", asked.prompt), ("Negative prompt", asked.negative_prompt))
    )
    sampling, guidance = asked.sampling, asked.guidance
    try:
        steps = int(found.get("Steps", sampling.steps))
        seed = replace(asked.seed, seed=int(found.get("Seed", asked.seed.seed)))
        guidance = replace(guidance, cfg_scale=float(found.get("CFG scale", guidance.cfg_scale)))
    except ValueError as error:
        raise InvalidRequest(f"its infotext holds a number that cannot be read: {error}") from error
    digest = found.get("Model hash")
    model = asked.model
    if digest and shop.shelf().catalog.find(digest) is not None:
        model = replace(model, checkpoint=digest)
    return replace(
        asked,
        prompt=prompt,
        negative_prompt=negative,
        seed=seed,
        guidance=guidance,
        model=model,
        sampling=replace(sampling, steps=steps, sampler=found.get("Sampler", sampling.sampler)),
    )


def _saved(outcome: Outcome, folder: Path, names: Sequence[str]) -> Outcome:
    """Write the results of one picture under its name; a name that is taken meanwhile is left alone."""
    free = iter(names)
    images: list[Produced] = []
    for image in outcome.images:
        if image.extra:
            images.append(image)
            continue
        name = next(free, None)
        path = folder / f"{name}.{image.format}"
        written = name is not None and not _taken(folder, name) and atomic.create(path, image.data)
        images.append(replace(image, saved_as=path if written else None))
    return replace(outcome, images=tuple(images))
