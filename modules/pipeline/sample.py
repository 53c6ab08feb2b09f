"""One batch through the sampler: prompts to conditioning, noise to latent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from modules.domain.events import Progressed, Stage
from modules.domain.plan import BatchPlan, Plan
from modules.domain.request import Size
from modules.hooks.context import JobContext
from modules.hooks.points import AfterSampling, AfterStep, BeforeSampling, WrapDenoise
from modules.pipeline.clock import Clock
from modules.pipeline.plan import prepared
from modules.pipeline.preview import Previewer
from modules.residency.model import Model
from modules.sampling.catalogue import Controls, Sampler, sampler_named
from modules.sampling.guidance import GuidanceFacts, Guided
from modules.sampling.noise import ImageNoise
from modules.sampling.prediction import (
    Prediction,
    SigmaTable,
    downcast_alphas,
    rescale_zero_terminal_snr,
)
from modules.sampling.schedules import schedule_named
from modules.sampling.start import Course, course_from_noise, noise_source, noised_from_nothing
from modules.sampling.types import Step, Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A batch after sampling."""

    x: Tensor
    """[B, C, h, w]; the estimate of the clean latent when the batch was ended early."""
    complete: bool
    facts: Mapping[str, str | int | float | bool]
    """Infotext keys that only became known while sampling."""


def sample(model: Model, plan: Plan, batch: BatchPlan, ctx: JobContext, clock: Clock, previewer: Previewer) -> Sampled:
    """Run the sampler over one batch, telling progress, until it ends or is asked to."""
    sampler = sampler_named(plan.main.sampler)
    calls = sampler.calls(plan.main.steps)
    ctx.emit(Stage(job_id=ctx.job_id, text="encoding prompt"))
    with clock("encode"):
        positives, negatives = _encode(model, plan, batch, calls)
        empty = model.empty_chunk(plan.text) if plan.guidance.pad_cond_uncond else None
    prediction = sampler.adapt(_prediction(model.components.prediction, plan))
    ctx.emit(Stage(job_id=ctx.job_id, text="sampling"))
    with clock("sample"), model.network(tiling=plan.tiling, note=ctx.note) as network:
        guided = Guided(
            network,
            prediction,
            positives,
            negatives,
            plan.guidance,
            total_calls=calls,
            empty_chunk=empty,
            cfg_factor=sampler.cfg_factor,
            needs_uncond=sampler.needs_uncond,
            timesteps=sampler.timesteps,
        )
        run = _Run(model=model, plan=plan, batch=batch, ctx=ctx, previewer=previewer, sampler=sampler)
        x, complete = run(guided, prediction.table)
    x = ctx.hooks.run(AfterSampling(plan=plan, batch=batch, x=x)).x
    return Sampled(x=x, complete=complete, facts=_told(guided.facts, plan))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """The loop over a sampler's steps and everything that looks at them."""

    model: Model
    plan: Plan
    batch: BatchPlan
    ctx: JobContext
    previewer: Previewer
    sampler: Sampler

    def __call__(self, guided: Guided, table: SigmaTable) -> tuple[Tensor, bool]:
        """Return the latent [B, C, h, w] and whether all steps ran."""
        plan, batch, ctx = self.plan, self.batch, self.ctx
        noise = image_noise(self.model, plan, batch)
        course = course_of(plan, self.sampler, table)
        x = noised_from_nothing(
            self.sampler, noise.initial(), course, sgm_noise_multiplier=plan.schedule.sgm_noise_multiplier
        )
        denoise = ctx.hooks.run(WrapDenoise(plan=plan, batch=batch, denoise=guided)).denoise
        begin = ctx.hooks.run(BeforeSampling(plan=plan, batch=batch, x=x, sigmas=course.sigmas))
        controls = Controls(
            noise=noise_source(self.sampler, noise, replace(course, sigmas=begin.sigmas), plan.noise),
            options=plan.sampler,
            unconditional=guided.unconditional,
        )
        x, total = begin.x, len(begin.sigmas) - 1
        for step in self.sampler.run(denoise, x, begin.sigmas, controls):
            x = step.x
            self._tell(step, total)
            if ctx.cancel.ends_batch:
                return step.denoised, False
        return x, True

    def _tell(self, step: Step, total: int) -> None:
        ctx = self.ctx
        if ctx.hooks.has(AfterStep):
            ctx.hooks.run(AfterStep(plan=self.plan, batch=self.batch, step=step))
        done = step.index + 1
        ctx.emit(
            Progressed(
                job_id=ctx.job_id,
                batch=self.batch.number,
                num_batches=self.plan.num_batches,
                step=min(done, total),
                num_steps=max(total, 1),
            )
        )
        if ctx.wants_preview(done):
            self.previewer.show(self.model, step.denoised)


def image_noise(model: Model, plan: Plan, batch: BatchPlan) -> ImageNoise:
    """Return the noise of the pictures of a batch, each from its own seed."""
    latent, spec = model.components.latent, plan.request.seed
    resized = spec.resize_from_width > 0 and spec.resize_from_height > 0
    return ImageNoise(
        [image.seed for image in batch.images],
        (latent.channels, *latent_size(plan.main.size, latent.downscale)),
        model.device,
        source=plan.noise.source,
        subseeds=[image.subseed for image in batch.images],
        subseed_strength=spec.subseed_strength,
        eta_seed_delta=plan.noise.eta_seed_delta,
        seed_resize=(spec.resize_from_height // latent.downscale, spec.resize_from_width // latent.downscale)
        if resized
        else None,
    )


def latent_size(size: Size, downscale: int) -> tuple[int, int]:
    """Return (height, width) of the latent of a picture, rounded down."""
    return size.height // downscale, size.width // downscale


def course_of(plan: Plan, sampler: Sampler, table: SigmaTable) -> Course:
    """Return the levels that a plan walks from pure noise."""
    return course_from_noise(
        schedule_named(plan.main.scheduler),
        sampler,
        plan.main.steps,
        table,
        plan.schedule,
        sampler_options=plan.sampler,
    )


def _encode(
    model: Model, plan: Plan, batch: BatchPlan, calls: int
) -> tuple[list[tuple[Timeline, ...]], list[Timeline]]:
    """Encode the prompts of a batch; equal timelines are encoded once."""

    def line(entries: tuple[tuple[int, str], ...], weight: float = 1.0) -> Timeline:
        ends, texts = zip(*entries, strict=True)
        return Timeline(ends=ends, conditioning=model.condition(texts, plan.text), weight=weight)

    prompts = [prepared(image, calls, plan.text) for image in batch.images]
    positives = [tuple(line(part.timeline, part.weight) for part in prompt.parts) for prompt in prompts]
    return positives, [line(prompt.negative_timeline) for prompt in prompts]


def _prediction(trained: Prediction, plan: Plan) -> Prediction:
    """Change the trained noise levels as the plan's compatibility settings ask."""
    options = plan.schedule
    if not (options.zero_terminal_snr or options.downcast_alphas or options.quantize_timesteps):
        return trained
    alphas = trained.table.alphas_cumprod
    if options.downcast_alphas:
        alphas = downcast_alphas(alphas)
    if options.zero_terminal_snr:
        alphas = rescale_zero_terminal_snr(alphas)
    table = SigmaTable.from_alphas(alphas, quantize=options.quantize_timesteps)
    return replace(trained, table=table)


def _told(facts: GuidanceFacts, plan: Plan) -> dict[str, str | int | float | bool]:
    """Write what guidance did as infotext keys."""
    found: dict[str, str | int | float | bool] = {}
    if facts.skipped_early:
        found["Skip Early CFG"] = plan.guidance.skip_early
    if facts.ngms:
        found["NGMS"] = plan.guidance.s_min_uncond
        if plan.guidance.s_min_uncond_all:
            found["NGMS all steps"] = True
    if facts.padded:
        found["Pad conds v0" if plan.guidance.pad_cond_uncond_v0 else "Pad conds"] = True
    return found
