"""From the final latent to finished pictures: decode, let extensions look, describe, encode and save."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modules.domain.errors import NumericalFault
from modules.domain.events import ImageReady, Stage
from modules.domain.plan import BatchPlan, ImagePlan, Plan
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.hooks.points import AfterDecode, BeforeSave
from modules.pipeline.output import Finished, Output
from modules.pipeline.pixels import to_pil
from modules.pipeline.sample import Sampled
from modules.residency.model import Model
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finisher:
    """Turns the latents of one job into pictures; encoding and saving run beside the next picture's work."""

    plan: Plan
    ctx: JobContext
    output: Output
    describe: Callable[[Plan, ImagePlan], str]
    """Writes the infotext of a picture."""
    check_nan: bool = True

    def batch(self, model: Model, batch: BatchPlan, sampled: Sampled) -> list[Future[Finished]]:
        """Finish the pictures of one batch; those of a batch that was ended early are saved only on request."""
        self.ctx.emit(Stage(job_id=self.ctx.job_id, text="decoding"))
        plan = replace(self.plan, infotext_extra={**self.plan.infotext_extra, **sampled.facts})
        save = self.plan.request.output.save_images and self.ctx.settings.saving.samples_save
        save = save and (sampled.complete or self.ctx.settings.saving.save_incomplete_images)
        return [self._one(model, plan, image, x, save=save) for image, x in zip(batch.images, sampled.x, strict=True)]

    def outcome(self, pending: Sequence[Future[Finished]], seconds: Mapping[str, float], *, interrupted: bool) -> Outcome:
        """Wait for encoding and saving and say what came of the job."""
        finished = [future.result() for future in pending]
        grid = self._grid(finished) if len(finished) > 1 else None
        faults = [one.fault for one in (*finished, *([grid] if grid else [])) if one.fault]
        for fault in dict.fromkeys(faults):
            self.ctx.note(fault)
        return Outcome(
            plan=self.plan,
            images=tuple(one.image for one in finished),
            grid=grid.image if grid else None,
            interrupted=interrupted,
            timings=seconds,
            notes=self.plan.notes,
            save_error=faults[0] if faults else None,
        )

    def _one(self, model: Model, plan: Plan, image_plan: ImagePlan, x: Tensor, *, save: bool) -> Future[Finished]:
        if self.check_nan and not bool(torch.isfinite(x).all()):
            raise NumericalFault(
                f"The UNet produced NaN or infinite values for picture {image_plan.index + 1}. "
                "Start with --no-half, or try another checkpoint or a lower CFG scale."
            )
        fallback = vae_fallback(self.ctx.settings, model)
        pixels = model.decode(x[None], tiling=plan.tiling, fallback=fallback, note=self.ctx.note)
        image = self.ctx.hooks.run(AfterDecode(plan=plan, image_plan=image_plan, image=to_pil(pixels))).image
        ready = self.ctx.hooks.run(
            BeforeSave(plan=plan, image_plan=image_plan, image=image, infotext=self.describe(plan, image_plan))
        )
        future = self.output.picture(ready.image, ready.infotext, plan, image_plan, self.ctx.settings, save=save)
        future.add_done_callback(self._announce)
        return future

    def _grid(self, finished: Sequence[Finished]) -> Finished | None:
        """Make the overview of all pictures when the request wants one."""
        settings, output = self.ctx.settings, self.plan.request.output
        if not output.save_grid or not (settings.saving.grid_save or settings.ui.return_grid):
            return None
        first = self.plan.images[0]
        return self.output.grid(
            [one.pixels for one in finished], self.describe(self.plan, first), self.plan, first, settings,
            save=settings.saving.grid_save,
        )  # fmt: skip

    def _announce(self, future: Future[Finished]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.ctx.emit(ImageReady(job_id=self.ctx.job_id, image=future.result().image))


def vae_fallback(settings: Snapshot, model: Model) -> torch.dtype | None:
    """Return the number format for a second decode when the first gave NaN, if there is a better one."""
    if settings.vae.auto_vae_precision_bfloat16:
        return torch.bfloat16
    narrow = model.policy.vae_dtype is not torch.float32
    return torch.float32 if settings.vae.auto_vae_precision and narrow else None
