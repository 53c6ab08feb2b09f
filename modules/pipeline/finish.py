"""From the final latent to finished pictures: decode, let extensions look, describe, encode and save."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from modules.domain.errors import NumericalFault
from modules.domain.events import ImageReady, Stage
from modules.domain.plan import BatchPlan, ImagePlan, Plan
from modules.domain.result import Produced
from modules.hooks.context import JobContext
from modules.hooks.points import AfterDecode, BeforeSave
from modules.imaging.save import Output
from modules.residency.model import Model
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Finisher:
    """Turns latents of one job into pictures; encoding and saving run beside the next picture's work."""

    plan: Plan
    ctx: JobContext
    output: Output
    describe: Callable[[Plan, ImagePlan], str]
    """Writes the infotext of a picture."""
    check_nan: bool = True

    def batch(
        self,
        model: Model,
        batch: BatchPlan,
        x: Tensor,
        *,
        complete: bool,
        extra: Mapping[str, str | int | float | bool],
    ) -> list[Future[Produced]]:
        """Finish the pictures of one batch.

        Args:
            model: decodes the latents.
            batch: says which picture each row of `x` is.
            x: final latents [B, C, h, w] on the sampler's scale.
            complete: False when the batch was ended early; such pictures are saved only if a setting says so.
            extra: facts that only sampling could tell, for the infotext.
        """
        self.ctx.emit(Stage(job_id=self.ctx.job_id, text="decoding"))
        plan = with_facts(self.plan, extra)
        return [self._one(model, plan, image, x[row : row + 1], complete) for row, image in enumerate(batch.images)]

    def _one(self, model: Model, plan: Plan, image_plan: ImagePlan, x: Tensor, complete: bool) -> Future[Produced]:
        if self.check_nan and not bool(torch.isfinite(x).all()):
            raise NumericalFault(
                f"The UNet produced NaN or infinite values for picture {image_plan.index + 1}. "
                "Start with --no-half or --upcast-sampling, or try another checkpoint or a lower CFG scale."
            )
        settings = self.ctx.settings
        pixels = model.decode(x, tiling=plan.tiling, fallback=vae_fallback(settings, model), note=self.ctx.note)
        image = self.ctx.hooks.run(AfterDecode(plan=plan, image_plan=image_plan, image=to_pil(pixels))).image
        ready = self.ctx.hooks.run(
            BeforeSave(plan=plan, image_plan=image_plan, image=image, infotext=self.describe(plan, image_plan))
        )
        save = plan.request.output.save_images and settings.saving.samples_save
        save = save and (complete or settings.saving.save_incomplete_images)
        future = self.output.submit(ready.image, ready.infotext, plan, image_plan, settings, save=save)
        future.add_done_callback(self._announce)
        return future

    def _announce(self, future: Future[Produced]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.ctx.emit(ImageReady(job_id=self.ctx.job_id, image=future.result()))


def to_pil(picture: Tensor) -> Image.Image:
    """Convert a picture [3, H, W] of about -1..1 to 8-bit RGB, truncating as A1111 does."""
    pixels = ((picture.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGB")


def vae_fallback(settings: Snapshot, model: Model) -> torch.dtype | None:
    """Return the number format for a second decode when the first gave NaN, if there is a better one."""
    if settings.vae.auto_vae_precision_bfloat16:
        return torch.bfloat16
    wider = model.policy.vae_dtype is not torch.float32
    return torch.float32 if settings.vae.auto_vae_precision and wider else None


def with_facts(plan: Plan, extra: Mapping[str, str | int | float | bool]) -> Plan:
    """Add what sampling found out to the keys that infotext will print."""
    return replace(plan, infotext_extra={**plan.infotext_extra, **extra}) if extra else plan
