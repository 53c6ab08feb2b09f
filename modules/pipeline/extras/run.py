"""Carry out an Extras job: every picture through the steps, described, encoded and saved."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidImage, InvalidRequest, PathRefused, StorageFault, WebuiError
from modules.domain.events import Event, ImageReady, Noted, Progressed, Stage, Started
from modules.domain.extras import ExtrasOutcome, ExtrasRequest, NamedPicture
from modules.domain.result import FileReport, Produced
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.imaging.infotext import compose
from modules.imaging.open import ImageLimits, open_image
from modules.imaging.pictures_in import pictures_in, read_picture
from modules.imaging.read_info import PictureInfo, read_picture_info
from modules.imaging.save_extras import ExtrasFiles, Texts, encode_result
from modules.pipeline.extras.refine import refine
from modules.pipeline.extras.step import Bound, Picture
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)
Steps = Callable[[Mapping[str, Any], Snapshot], Sequence[Bound]]
"""Returns the steps of a request, with their values and in their order."""
MAX_SUFFIXES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What Extras jobs work with."""

    steps: Steps
    files: ExtrasFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A picture that waits for its turn."""

    name: str
    """Of its file, with extension; empty when it has none."""
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One job."""

    request: ExtrasRequest
    ctx: JobContext
    files: ExtrasFiles
    steps: Sequence[Bound]
    output: Path
    limits: ImageLimits


def run_extras(request: ExtrasRequest, ctx: JobContext, tools: Tools) -> ExtrasOutcome:
    """Work on every picture of a request. One of several that cannot be worked on is told, and the rest goes on.

    Raises:
        InvalidRequest: the folder is missing or holds no pictures, a step is not there, or the only picture is refused.
        PathRefused: a folder is none where pictures may lie.
    """
    run = _begin(request, ctx, tools)
    sources = _sources(run)
    run.ctx.emit(Started(job_id=ctx.job_id, num_batches=len(sources)))
    images: list[Produced] = []
    reports: list[FileReport] = []
    told, fault = "", None
    for number, source in enumerate(sources):
        if ctx.cancel.ends_job:
            break
        made, report = _one(run, source, number, len(sources))
        ctx.cancel.clear_skip()
        reports.append(report)
        told = made[-1].infotext if made else told
        fault = fault or next((one.save_error for one in made if one.save_error), None)
        images += made if request.show else ()
    return ExtrasOutcome(
        images=tuple(images), interrupted=ctx.cancel.ends_job, files=tuple(reports), save_error=fault, told=told
    )


def _begin(request: ExtrasRequest, ctx: JobContext, tools: Tools) -> _Run:
    paths, api = ctx.settings.paths, ctx.settings.api
    return _Run(
        request=request, ctx=replace(ctx, emit=_each_note_once(ctx)), files=tools.files,
        steps=tools.steps(request.steps, ctx.settings),
        output=tools.files.folder(request.output or paths.outdir_samples or paths.outdir_extras_samples),
        limits=ImageLimits(max_bytes=api.api_max_image_mb << 20, max_pixels=int(api.api_max_image_mpixels * 1e6)),
    )  # fmt: skip


def _each_note_once(ctx: JobContext) -> Callable[[Event], None]:
    told: set[str] = set()

    def emit(event: Event) -> None:
        if isinstance(event, Noted):
            if event.text in told:
                return
            told.add(event.text)
        ctx.emit(event)

    return emit


def _sources(run: _Run) -> list[_Source]:
    """Return the pictures in their order."""
    request = run.request
    if not request.folder:
        return [_Source(name=one.name, read=lambda one=one: _brought(one)) for one in request.pictures]
    folder = run.files.folder(request.folder)
    if not folder.is_dir():
        raise InvalidRequest("there is no such folder", field="folder")
    if request.save and folder == run.output and run.ctx.settings.saving.save_images_replace_action == "Replace":
        raise InvalidRequest("results would replace their pictures; choose another folder", field="output")
    found = pictures_in(folder)
    if not found:
        raise InvalidRequest(f"{folder.name} holds no pictures", field="folder")
    return [_Source(name=path.name, read=lambda path=path: read_picture(path, run.limits)) for path in found]


def _brought(one: NamedPicture) -> bytes:
    if one.image.data is None:
        raise InvalidImage("the picture that the request brought along is gone; send it again")
    return one.image.data


def _one(run: _Run, source: _Source, number: int, count: int) -> tuple[list[Produced], FileReport]:
    """Work on one picture."""
    ctx, name = run.ctx, source.name
    ctx.emit(Stage(job_id=ctx.job_id, text=name or "picture"))

    def done(steps: int) -> None:
        ctx.emit(
            Progressed(job_id=ctx.job_id, batch=number, num_batches=count, step=steps, num_steps=max(1, len(run.steps)))
        )

    try:
        data = source.read()
        found = read_picture_info(data, run.limits)
        image = open_image(data, run.limits)
        pictures = refine(Picture(image=image, name=Path(name).stem), run.steps, ctx, done)
        if ctx.cancel.reason in (CancelReason.SKIP, CancelReason.INTERRUPT):
            return [], FileReport(name=name, state="skipped")
        made = _finished(run, pictures, found, named=count > 1 or bool(run.request.folder))
    except WebuiError as error:
        if count == 1:
            raise
        ctx.note(f"{name or f'picture {number + 1}'}: {error}")
        return [], FileReport(name=name, state="failed", reason=str(error))
    saved = tuple(one.saved_as for one in made if one.saved_as is not None)
    return made, FileReport(name=name, state="made", saved_as=saved)


def _finished(run: _Run, pictures: Sequence[Picture], found: PictureInfo, *, named: bool) -> list[Produced]:
    """Describe, encode and save what the steps made of one picture.

    Args:
        run: the job.
        pictures: the results.
        found: what the picture says about itself.
        named: whether it is one of many, which are named after their pictures if the settings want that.
    """
    others = {key: value for key, value in found.items.items() if isinstance(value, str)}
    keeps_name = named and run.ctx.settings.saving.use_original_name_batch
    used: set[str] = set()
    made: list[Produced] = []
    for one in pictures:
        texts = Texts(told=compose("", "", one.told), parameters=found.infotext, others=others)
        suffix = _free_suffix(one.tags, used)
        produced = _produced(run, one, texts, one.name if keeps_name else "", suffix)
        made.append(produced)
        if run.request.show:
            run.ctx.emit(ImageReady(job_id=run.ctx.job_id, image=produced))
    return made


def _produced(run: _Run, picture: Picture, texts: Texts, name: str, suffix: str) -> Produced:
    settings, save = run.ctx.settings, run.request.save
    encoded = encode_result(picture.image, texts, settings, saved=save)
    made = Produced(
        data=encoded.data, format=encoded.format, infotext=texts.told, width=picture.image.width,
        height=picture.image.height, plan=None, source=picture.name,
    )  # fmt: skip
    if not save:
        return made
    try:
        path = run.files.write(encoded, run.output, name, suffix, settings)
        run.files.beside(path, picture.image, texts.told, picture.caption, encoded, settings)
    except (StorageFault, PathRefused) as error:
        logger.error("a picture was not saved: %s", error)
        return replace(made, save_error=str(error))
    return replace(made, saved_as=path)


def _free_suffix(tags: Sequence[str], used: set[str]) -> str:
    """Return what a file name ends with, another text for each picture that comes of the same one."""
    suffix = "".join(f"-{tag}" for tag in tags)
    numbered: Iterator[str] = (f"{suffix}-{number}" for number in range(1, MAX_SUFFIXES))
    free = suffix if suffix not in used else next(one for one in numbered if one not in used)
    used.add(free)
    return free
