"""The sampler's part of a batch: prompts and noise to a latent, once or, with a hires pass, twice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image
from torch import Tensor

from modules.domain.events import Progressed, Stage
from modules.domain.plan import BatchPlan, HiresPlan, Plan
from modules.domain.request import Size
from modules.hooks.points import (
    AfterSampling,
    AfterStep,
    BeforeSampling,
    ExtraNoise,
    WrapDenoise,
    WrapPass,
    WrapSampling,
)
from modules.pipeline.around import Fact, Walked, Walker, opened, start_of
from modules.pipeline.begin import EDITING, INPAINTING, UNCLIP, Begin, LatentMask, for_batch, image_noise_level
from modules.pipeline.denoise import WORD_HASHES, Guide, Kept, Leg, encoded_prompts
from modules.pipeline.hires import LATENT_MODES, decoded, enlarged
from modules.pipeline.session import Session
from modules.pipeline.watch import watching_blends
from modules.residency.model import Model
from modules.sampling.catalogue import Controls
from modules.sampling.noise import ImageNoise
from modules.sampling.prediction import SigmaTable
from modules.sampling.start import (
    Course,
    course_from_image,
    course_from_noise,
    image_steps,
    noise_source,
    noised_from_nothing,
    noised_image,
)
from modules.sampling.types import EndedEarly, Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A batch after sampling."""

    x: Tensor
    """[B, C, h, w]; the estimate of the clean latent when the batch was ended early."""
    complete: bool
    facts: Mapping[str, Fact]
    """Infotext keys that only became known while sampling."""
    mask: LatentMask | None = None
    """What was to be kept."""
    pictures: tuple[Image.Image, ...] = ()
    """What the first pass of two made, where it is to be saved too."""


def sample(session: Session, plan: Plan, batch: BatchPlan, begin: Begin | None) -> Sampled:
    """Run the passes of one batch, telling progress, until they end or are asked to.

    Args:
        session: lends the models.
        plan: of the job.
        batch: the pictures.
        begin: a clean latent to start from, None for noise alone.
    """
    session.use(plan.model)
    begin = for_batch(begin, batch) if begin else None
    leg = _first_leg(session, plan, batch, begin)
    if session.ctx.hooks.has(WrapSampling):
        return _wrapped(session, plan, batch, leg)
    return _passes(session, plan, batch, leg)


def _passes(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Sampled:
    """Run the first pass, or take the pictures that were given instead of it, and the hires pass."""
    if plan.first_given and leg.begin:
        first = Sampled(x=leg.begin.latent, complete=True, facts={}, pictures=leg.begin.pictures)
    else:
        first = walk(session, plan, batch, leg)
    return _second(session, plan, plan.hires, batch, first) if plan.hires and first.complete else first


def _wrapped(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Sampled:
    """Let extensions sample in their own way; what they leave to the program is done as ever."""
    session.dress(leg.networks)
    leg = opened(session, plan, batch, leg, image_noise(session.model, plan, batch, leg))
    planned: list[Sampled] = []

    def whole() -> Tensor:
        planned.append(_passes(session, plan, batch, leg))
        return planned[-1].x

    walker = Walker(session=session, plan=plan, batch=batch, leg=leg, once=_once)
    payload = WrapSampling(plan=plan, batch=batch, start=start_of(plan, leg), walk=walker, sample=whole)
    x = session.ctx.hooks.run(payload).sample()
    if planned:
        return replace(planned[-1], x=x)
    x = session.ctx.hooks.run(AfterSampling(plan=plan, batch=batch, x=x)).x
    mask = leg.begin.mask if leg.begin and leg.begin.latent.shape == x.shape else None
    return Sampled(x=x, complete=walker.complete, facts=walker.facts, mask=mask)


def _first_leg(session: Session, plan: Plan, batch: BatchPlan, begin: Begin | None) -> Leg:
    return Leg(
        number=0,
        run=plan.main,
        options=plan.sampler,
        strength=plan.request.init.denoising_strength if plan.request.init else 1.0,
        begin=begin,
        fix_steps=plan.image.fix_steps,
        noise_multiplier=plan.image.noise_multiplier,
        networks=batch.networks.first,
        book=session.book,
    )


def _second(session: Session, plan: Plan, hires: HiresPlan, batch: BatchPlan, first: Sampled) -> Sampled:
    """Run the hires pass over what the first one made."""
    leg = Leg(
        number=1,
        run=hires.run,
        options=hires.options,
        strength=hires.denoising_strength,
        fix_steps=True,
        networks=batch.networks.second,
        book=session.book,
    )
    if hires.first_pass_texts:
        session.dress(batch.networks.first)
        leg = replace(leg, prompts=encoded_prompts(session, plan, batch, leg))
    saves = plan.image.save_first_pass and plan.request.output.save_images and not plan.first_given
    pictures = first.pictures or (
        decoded(session, plan, first.x) if saves or hires.upscaler not in LATENT_MODES else ()
    )
    second = walk(session, plan, batch, replace(leg, begin=enlarged(session, plan, hires, first.x, pictures)))
    return replace(second, facts=_joined(first.facts, second.facts), pictures=pictures if saves else ())


def _joined(first: Mapping[str, Fact], second: Mapping[str, Fact]) -> dict[str, Fact]:
    """Put the facts of two passes together; embeddings of both are told."""
    words = [str(facts[WORD_HASHES]).split(", ") for facts in (first, second) if WORD_HASHES in facts]
    told = {WORD_HASHES: ", ".join(dict.fromkeys(word for some in words for word in some))} if words else {}
    return {**first, **second, **told}


def walk(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Sampled:
    """Run the sampler once with the model in use."""
    session.dress(leg.networks)
    session.ctx.emit(Stage(job_id=session.ctx.job_id, text="sampling"))
    walked = _walked_around(session, plan, batch, leg)
    x = session.ctx.hooks.run(AfterSampling(plan=plan, batch=batch, x=walked.x)).x
    return Sampled(
        x=x, complete=walked.complete, facts=walked.facts, mask=leg.begin.mask if leg.begin else None
    )  # fmt: skip


def _walked_around(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Walked:
    """Walk with whatever extensions put around it."""
    if not session.ctx.hooks.has(WrapPass):
        return _once(session, plan, batch, leg)
    leg = opened(session, plan, batch, leg, image_noise(session.model, plan, batch, leg))
    walker = Walker(session=session, plan=plan, batch=batch, leg=leg, once=_once)
    payload = WrapPass(plan=plan, batch=batch, number=leg.number, start=start_of(plan, leg), walk=walker)
    around = session.ctx.hooks.run(payload)
    x = around.walk(around.start)
    return Walked(x=x, complete=walker.complete, facts=walker.facts)


def _once(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Walked:
    """Walk from the first level to the last one."""
    seen = _seen(session.model, plan)
    guide = Guide(session, plan, batch, leg, total_calls=leg.sampler.calls(_steps_run(leg)))
    with guide, session.clock("sample"):
        x, complete = _Walk(session=session, plan=plan, batch=batch, leg=leg)(guide)
        facts = {**guide.facts(), **seen}
    if leg.begin and plan.image.extra_noise:
        facts["Extra noise"] = plan.image.extra_noise
    return Walked(x=x, complete=complete, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Walk:
    """The loop over a sampler's steps and everything that looks at them."""

    session: Session
    plan: Plan
    batch: BatchPlan
    leg: Leg

    def __call__(self, guide: Guide) -> tuple[Tensor, bool]:
        """Return the latent [B, C, h, w] and whether all steps ran."""
        plan, batch, ctx, leg = self.plan, self.batch, self.session.ctx, self.leg
        mask = leg.begin.mask if leg.begin else None
        kept = None
        if mask:
            blended = watching_blends(ctx.hooks, plan, batch, mask)
            kept = Kept(guide, mask, before=leg.sampler.timesteps, blended=blended)
        denoiser = kept or guide
        noise = leg.noise or image_noise(self.session.model, plan, batch, leg)
        course = course_of(self.session.model, plan, leg, guide.table)
        x = self._noised(noise.initial(), course)
        denoise = ctx.hooks.run(WrapDenoise(plan=plan, batch=batch, denoise=denoiser)).denoise
        begin = ctx.hooks.run(BeforeSampling(plan=plan, batch=batch, x=x, sigmas=course.sigmas))
        controls = Controls(
            noise=noise_source(leg.sampler, noise, replace(course, sigmas=begin.sigmas), plan.noise),
            options=leg.options,
            unconditional=denoiser.unconditional,
            tell=partial(self._take, total=len(begin.sigmas) - 1),
        )
        x, complete = begin.x, True
        try:
            for step in leg.sampler.run(denoise, x, begin.sigmas, controls):
                x = step.x
                controls.tell(step)
        except EndedEarly as ended:
            x, complete = ended.step.denoised, False
        return (kept.over_result(x) if kept else x), complete

    def _noised(self, noise: Tensor, course: Course) -> Tensor:
        leg, plan = self.leg, self.plan
        if leg.begin is None:
            return noised_from_nothing(
                leg.sampler, noise, course, sgm_noise_multiplier=plan.schedule.sgm_noise_multiplier
            )
        scaled, more = noise * leg.noise_multiplier, plan.image.extra_noise
        extra = self._extra_noise(leg.begin.latent, scaled, course) if more else None
        return noised_image(leg.sampler, leg.begin.latent, scaled, course, extra=more, extra_noise=extra)

    def _extra_noise(self, latent: Tensor, noise: Tensor, course: Course) -> Tensor | None:
        """Return what extensions made of the noise that comes on top; None when they left it alone."""
        hooks = self.session.ctx.hooks
        if not hooks.has(ExtraNoise):
            return None
        x = noised_image(self.leg.sampler, latent, noise, course)
        shown = ExtraNoise(plan=self.plan, batch=self.batch, noise=noise, latent=latent, x=x)
        found = hooks.run(shown).noise
        return None if found is noise else found

    def _take(self, step: Step, *, total: int) -> None:
        """Tell of a step, and end the walk there if that is wanted."""
        self._tell(step, total)
        if self.session.ctx.cancel.ends_batch:
            raise EndedEarly(step)

    def _tell(self, step: Step, total: int) -> None:
        ctx, plan = self.session.ctx, self.plan
        if ctx.hooks.has(AfterStep):
            ctx.hooks.run(AfterStep(plan=plan, batch=self.batch, step=step))
        done = step.index + 1
        runs = plan.runs_per_batch
        ctx.emit(
            Progressed(
                job_id=ctx.job_id,
                batch=self.batch.number * runs + min(self.leg.number, runs - 1),
                num_batches=plan.num_runs,
                step=min(done, total),
                num_steps=max(total, 1),
            )
        )
        if ctx.wants_preview(done):
            self.session.previewer.show(self.session.model, step.denoised)


def image_noise(model: Model, plan: Plan, batch: BatchPlan, leg: Leg) -> ImageNoise:
    """Return the noise of the pictures of a batch, each from its own seed."""
    latent, spec = model.components.latent, plan.request.seed
    resized = spec.resize_from_width > 0 and spec.resize_from_height > 0
    height, width = leg.begin.latent.shape[-2:] if leg.begin else latent_size(leg.run.size, latent.downscale)
    return ImageNoise(
        [image.seed for image in batch.images],
        (latent.channels, height, width),
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


def course_of(model: Model, plan: Plan, leg: Leg, table: SigmaTable) -> Course:
    """Return the levels that a pass walks."""
    run, sdxl = leg.run, model.components.match.family == "sdxl"
    schedule = leg.book.runs(leg.sampler, leg.book.schedule(run.scheduler))
    if leg.begin is None:
        return course_from_noise(
            schedule, leg.sampler, run.steps, table, plan.schedule, sampler_options=leg.options, sdxl=sdxl
        )
    return course_from_image(
        schedule,
        leg.sampler,
        run.steps,
        leg.strength,
        table,
        plan.schedule,
        fix_steps=leg.fix_steps,
        sampler_options=leg.options,
        sdxl=sdxl,
    )


def _seen(model: Model, plan: Plan) -> dict[str, str | int | float | bool]:
    """Tell what the network sees besides the latent."""
    if model.components.match.variant == INPAINTING:
        return {"Conditional mask weight": plan.image.mask_weight}
    if model.components.match.variant == UNCLIP:
        level = image_noise_level(plan)
        return {"Image noise level": level} if level else {}
    scale = plan.request.init.image_cfg_scale if plan.request.init else None
    return {"Image CFG scale": scale} if model.components.match.variant == EDITING and scale is not None else {}


def _steps_run(leg: Leg) -> int:
    """Return the steps that switches by steps count."""
    if leg.begin is None:
        return leg.run.steps
    return image_steps(leg.run.steps, leg.strength, fix_steps=leg.fix_steps)[1] + 1
