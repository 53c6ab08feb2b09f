"""From the final latent to finished pictures: decode, let extensions look, describe, encode and save."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from modules.domain.errors import NumericalFault
from modules.domain.events import ImageReady, Stage
from modules.domain.plan import BatchPlan, ImagePlan, Plan
from modules.domain.result import Outcome, Produced
from modules.hooks.context import JobContext
from modules.hooks.points import (
    AfterDecode,
    AfterSave,
    BatchDecoded,
    BeforeGrid,
    BeforeOverlay,
    BeforeSave,
    PictureReady,
)
from modules.imaging.grid import grid_rows, make_grid, wants_grid
from modules.imaging.mask import cut_out
from modules.imaging.resize import FILL, resize
from modules.imaging.save import Output
from modules.pipeline.canvas import Canvas
from modules.pipeline.faces import Restore, restored
from modules.pipeline.pixels import to_pil, to_unit
from modules.pipeline.precision import vae_fallback
from modules.pipeline.sample import Sampled
from modules.pipeline.soft import change_mask
from modules.residency.model import Model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pending:
    """A picture whose file is being made."""

    pixels: Image.Image
    produced: Future[Produced]
    plan: Plan
    """With the facts that only became known while sampling."""
    extra: bool = False
    """A mask or a cut-out that goes with the picture before it."""
    shown: bool = True
    """False for a file beside a picture that nobody wants to see."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finisher:
    """Turns the latents of one job into pictures; encoding and saving run beside the next picture's work."""

    plan: Plan
    ctx: JobContext
    output: Output
    describe: Callable[[Plan, ImagePlan], str]
    """Writes the infotext of a picture."""
    check_nan: bool = True
    canvas: Canvas | None = None
    """What the pictures are painted on; None when they are made from noise."""
    restore: Restore | None = None
    """Restores the faces of pictures, where that is wanted."""

    def batch(self, model: Model, batch: BatchPlan, sampled: Sampled) -> list[Pending]:
        """Finish the pictures of one batch; those of a batch that was ended early are saved only on request."""
        self.ctx.emit(Stage(job_id=self.ctx.job_id, text="decoding"))
        plan = replace(self.plan, infotext_extra={**self.plan.infotext_extra, **sampled.facts})
        save = self.plan.request.output.save_images and self.ctx.settings.saving.samples_save
        save = save and (sampled.complete or self.ctx.settings.saving.save_incomplete_images)
        made: list[Pending] = []
        for number, painted in enumerate(self._decoded(model, plan, batch, sampled)):
            # An extension may add pictures; they go with the last one of the batch.
            position = min(number, len(batch.images) - 1)
            image = batch.images[position]
            if save and sampled.pictures:
                first = Beside(image=sampled.pictures[position], suffix="-before-highres-fix")
                made.append(self._beside(plan, image, first, save=save))
            canvas = self._canvas(sampled, position)
            made += self._one(plan, image, painted, canvas=canvas, position=position, save=save)
        return made

    def _decoded(self, model: Model, plan: Plan, batch: BatchPlan, sampled: Sampled) -> Iterator[Image.Image]:
        """Yield the pictures of a batch; all are decoded first where extensions want to see them together."""
        last = len(batch.images) - 1
        # An extension may have sampled more latents; they belong to the last picture.
        pixels = (self._pixels(model, plan, batch.images[min(i, last)], x) for i, x in enumerate(sampled.x))
        if self.ctx.hooks.has(BatchDecoded):
            payload = BatchDecoded(plan=plan, batch=batch, pixels=torch.stack([*pixels]))
            pixels = (one for one in self.ctx.hooks.run(payload).pixels)
        yield from map(to_pil, pixels)

    def outcome(self, pending: Sequence[Pending], seconds: Mapping[str, float], *, interrupted: bool) -> Outcome:
        """Wait for encoding and saving and say what came of the job."""
        made = tuple(replace(one.produced.result(), extra=one.extra) for one in pending)
        images = tuple(image for image, one in zip(made, pending, strict=True) if one.shown)
        grid = self._grid([one.pixels for one in pending if not one.extra])
        faults = [one.save_error for one in (*made, *([grid] if grid else [])) if one.save_error]
        for fault in dict.fromkeys(faults):
            self.ctx.note(fault)
        return Outcome(
            plan=pending[0].plan if pending else self.plan,
            images=images,
            grid=grid,
            interrupted=interrupted,
            timings=seconds,
            notes=self.plan.notes,
            save_error=faults[0] if faults else None,
        )

    def _canvas(self, sampled: Sampled, position: int) -> Canvas | None:
        """Return what one result is painted on; in soft inpainting its own change decides what of it shows."""
        canvas, mask = self.canvas, sampled.mask
        if canvas is None or mask is None or mask.soft is None:
            return canvas
        x, clean = sampled.x[position], mask.clean[position]
        return canvas.with_mask(change_mask(clean, x, mask.repaint[0, 0], mask.soft, self.plan.main.size), position)

    def _pixels(self, model: Model, plan: Plan, image_plan: ImagePlan, x: Tensor) -> Tensor:
        """Decode one latent [C, h, w] to a picture [3, H, W] in 0..1."""
        if self.check_nan and not bool(torch.isfinite(x).all()):
            raise NumericalFault(
                f"The UNet produced NaN or infinite values for picture {image_plan.index + 1}. "
                "Start with --no-half, or try another checkpoint or a lower CFG scale."
            )
        fallback = vae_fallback(self.ctx.settings, model)
        return to_unit(
            model.decode(x[None], tiling=plan.tiling, fallback=fallback, note=self.ctx.note, check_nan=self.check_nan)
        )

    def _one(
        self,
        plan: Plan,
        image_plan: ImagePlan,
        decoded: Image.Image,
        *,
        canvas: Canvas | None,
        position: int,
        save: bool,
    ) -> list[Pending]:
        if self.restore is not None:
            decoded = restored(decoded, self.restore)
        painted = self.ctx.hooks.run(AfterDecode(plan=plan, image_plan=image_plan, image=decoded)).image
        if self.ctx.hooks.has(BeforeOverlay):
            canvas = self._shown(plan, image_plan, canvas, position)
        image, beside = _composed(plan, canvas, painted, position)
        ready = self.ctx.hooks.run(
            BeforeSave(plan=plan, image_plan=image_plan, image=image, infotext=self.describe(plan, image_plan))
        )
        future = self.output.submit(ready.image, ready.infotext, plan, image_plan, self.ctx.settings, save=save)
        pending = [Pending(pixels=ready.image, produced=self._announced(future), plan=plan)]
        more = [self._beside(plan, image_plan, one, save=save) for one in beside if one.shown or save]
        return [*pending, *more]

    def _shown(self, plan: Plan, image_plan: ImagePlan, canvas: Canvas | None, position: int) -> Canvas | None:
        """Let extensions look at what will lie over one result."""
        known = canvas.overlays[position % len(canvas.overlays)] if canvas and canvas.overlays else None
        payload = BeforeOverlay(
            plan=plan, image_plan=image_plan, mask=canvas.shown_mask if canvas else None, overlay=known
        )  # fmt: skip
        changed = self.ctx.hooks.run(payload)
        if changed is payload or (changed.overlay is known and changed.mask is payload.mask):
            return canvas
        overlays = () if changed.overlay is None else (changed.overlay,)
        return replace(canvas or Canvas(pictures=()), overlays=overlays, shown_mask=changed.mask)

    def _beside(self, plan: Plan, image_plan: ImagePlan, one: "Beside", *, save: bool) -> Pending:
        save = save and one.suffix != ""
        text = self.describe(plan, image_plan) if save else ""
        future = self.output.submit(one.image, text, plan, image_plan, self.ctx.settings, save=save, suffix=one.suffix)
        return Pending(pixels=one.image, produced=future, plan=plan, extra=True, shown=one.shown)

    def _grid(self, pictures: Sequence[Image.Image]) -> Produced | None:
        """Make the overview of all pictures when the request and the settings want one."""
        saving, wanted = self.ctx.settings.saving, self.plan.request.output.save_grid
        shown, saved = wanted and self.ctx.settings.ui.return_grid, wanted and saving.grid_save
        if not (shown or saved) or not wants_grid(len(pictures), saving):
            return None
        rows = grid_rows(len(pictures), self.plan.request.batch.size, saving)
        image = self._put_together(pictures, rows, saving.grid_background_color)
        infotext = self.describe(self.plan, self.plan.images[0])
        made = self.output.submit_grid(image, infotext, self.plan, self.ctx.settings, save=saved).result()
        self._tell_saved(made, self.plan.images[0])
        return made if shown else None

    def _put_together(self, pictures: Sequence[Image.Image], rows: int, background: str) -> Image.Image:
        """Make the overview; extensions may choose what is in it and how it is laid out."""
        columns = -(-len(pictures) // rows)
        payload = BeforeGrid(plan=self.plan, pictures=tuple(pictures), rows=rows, columns=columns)
        grid = self.ctx.hooks.run(payload)
        return make_grid(grid.pictures, grid.rows, background, columns=grid.columns)

    def _announced(self, future: Future[Produced]) -> Future[Produced]:
        """Return a future that is done when extensions have looked at the picture, so that their notes are not late."""
        announced: Future[Produced] = Future()

        def pass_on(made: Future[Produced]) -> None:
            try:
                self.announce(made)
                announced.set_result(made.result())
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                announced.set_exception(error)

        future.add_done_callback(pass_on)
        return announced

    def _tell_saved(self, image: Produced, about: ImagePlan) -> None:
        """Let extensions look at a file that was written."""
        hooks = self.ctx.hooks
        if image.saved_as is not None and hooks.has(AfterSave):
            hooks.run(AfterSave(plan=self.plan, image_plan=about, path=image.saved_as, image=image))

    def announce(self, future: Future[Produced]) -> None:
        """Tell that a picture is ready."""
        if future.cancelled() or future.exception() is not None:
            return
        image, hooks = future.result(), self.ctx.hooks
        if image.plan is not None:
            self._tell_saved(image, image.plan)
        if hooks.has(PictureReady):
            hooks.run(PictureReady(plan=self.plan, image=image))
        self.ctx.emit(ImageReady(job_id=self.ctx.job_id, image=image))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """A picture that goes with a result."""

    image: Image.Image
    suffix: str = ""
    """Ends its file name; empty when it is not saved."""
    shown: bool = False
    """Whether it is returned."""


def _composed(
    plan: Plan, canvas: Canvas | None, painted: Image.Image, position: int
) -> tuple[Image.Image, list[Beside]]:
    """Put a result onto the picture it was made on; also return what is wanted beside it."""
    if canvas is None:
        return painted, []
    beside: list[Beside] = []
    if plan.image.save_uncorrected and canvas.match_colours:
        beside.append(Beside(image=_laid(canvas, painted, position)[1], suffix="-before-color-correction"))
    placed, image = _laid(canvas, canvas.finish(painted, position), position)
    return image, [*beside, *_masks(plan, canvas, placed)]


def _laid(canvas: Canvas, painted: Image.Image, position: int) -> tuple[Image.Image, Image.Image]:
    """Return a result put back where it belongs, and that under the kept part of the original."""
    placed = canvas.placed(painted, position)
    return placed, canvas.overlaid(placed, position) if canvas.overlays else placed


def _masks(plan: Plan, canvas: Canvas, placed: Image.Image) -> Iterator[Beside]:
    """Yield the mask and what was painted under it, where they are wanted."""
    if canvas.shown_mask is None:
        return
    wanted = plan.image
    if wanted.return_mask or wanted.save_mask:
        suffix = "-mask" if wanted.save_mask else ""
        yield Beside(image=canvas.shown_mask.convert("RGB"), suffix=suffix, shown=wanted.return_mask)
    if wanted.return_mask_composite or wanted.save_mask_composite:
        suffix = "-mask-composite" if wanted.save_mask_composite else ""
        mask = resize(canvas.shown_mask, placed.width, placed.height, FILL)
        yield Beside(image=cut_out(placed, mask), suffix=suffix, shown=wanted.return_mask_composite)
