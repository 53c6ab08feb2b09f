"""Runs of a job that A1111's scripts take part in: `p` is made, handed around, and folded back after every hook."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.compat import fold, guiding, networks, networks_loaded, networks_text, optimizers, sampling
from modules.compat.callback_params import (
    ImageGridLoopParams,
    ImageSaveParams,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
)
from modules.compat.host import facade, host, own_job, working_on
from modules.compat.image_lists import as_many, at_place, changed, told_images
from modules.compat.job_noise import noise_of
from modules.compat.job_object import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img, opt_C, opt_f
from modules.compat.moment import Moment
from modules.compat.out_folders import chosen_folders
from modules.compat.results import Processed, encoded, opened, processed_of
from modules.compat.sd_model import sd_model_now
from modules.compat.state import State
from modules.compat.turns import called, turn
from modules.domain.errors import WebuiError
from modules.domain.plan import BatchPlan, ImagePlan, Networks, Note, Plan
from modules.domain.request import Generation
from modules.domain.result import Outcome, Produced
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler
from modules.hooks.points import (
    AfterBlend,
    AfterDecode,
    AfterGuidance,
    AfterNetwork,
    AfterSampling,
    AfterSave,
    AfterStep,
    BatchDecoded,
    BeforeBatches,
    BeforeConditioning,
    BeforeGrid,
    BeforeNetwork,
    BeforeOverlay,
    BeforeSampling,
    BeforeSave,
    ExtraNoise,
    Hook,
    PlanMade,
    WrapConditioning,
    WrapDenoise,
    WrapNetwork,
    WrapPass,
    WrapSampling,
)
from modules.imaging.infotext import infotext
from modules.pipeline.networks import NetworkShelf, batch_networks
from modules.pipeline.plan import make_plan
from modules.pipeline.run import set_out
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

NAME = "a1111"
"""Begins the names of the handlers."""


class LegacyJob:
    """One call of `process_images`: a run of the pipeline around a `p`.

    Args:
        p: the job as extensions see it.
        ctx: surroundings; a nested run gets those of the outer one.
        parent: the job that this one is nested in.
    """

    def __init__(self, p: StableDiffusionProcessing, ctx: JobContext, parent: "LegacyJob | None" = None) -> None:
        self.p, self.parent = p, parent
        self.assigned: dict[str, Any] = dict(parent.assigned) if parent else {}
        """What extensions assigned to settings for as long as this runs."""
        self.overrides: dict[str, Any] = dict(parent.overrides) if parent else {}
        """Values of settings that only extensions know."""
        self.ctx = ctx
        self.state = parent.state if parent else host().turn_state or State(ctx.cancel)
        self.plan: Plan | None = None
        self.batch: BatchPlan | None = None
        self.networks: Mapping[str, Any] = {}
        self.moment = Moment()
        self.decoded = 0
        """Pictures of the batch that are decoded."""
        self.run_folder: Callable[[dict[str, Any]], Processed] | None = None
        """Carries out a run over a folder, for jobs that are one."""
        self.outcome: Outcome | None = None
        self.root: LegacyJob = parent.root if parent else self
        self.made: dict[int, tuple[Any, Produced]] = {}
        """Pictures that the pipeline made, by the identity of the objects that extensions hold; of the outermost job."""
        self.told: dict[str, None] = {}
        """What went wrong in extensions, each once; of the outermost job."""

    def run(self) -> Processed:
        """Make the pictures of `p`.

        Raises:
            WebuiError: whatever a run may raise.
        """
        with working_on(self):
            self.state.sampling_steps = self.p.steps
            if self.parent is None:
                facade("sd_hijack").model_hijack.clear_comments()
            self.hook("before_process", self.p)
            self.ctx = replace(self.ctx, settings=self._settings())
            optimizers.follow(self.ctx.settings.optimizations.cross_attention_optimization)
            try:
                return facade("processing").process_images_inner(self.p)
            finally:
                self._forget()

    def report(self, text: str) -> None:
        """Tell the person what an extension did wrong, once for all runs of the job."""
        if text not in self.root.told:
            self.root.told[text] = None
            self.ctx.note(text)

    def carry_out(self) -> Processed:
        """Run the pipeline and hand its results to the scripts."""
        request = replace(fold.request_of(self.p), script=None)
        inner = replace(self.ctx, hooks=self.ctx.hooks.adding(self._handlers()))
        self.outcome = set_out(host().workshop(), request, inner).finish()
        self._tell_params(self.outcome)
        processed = self.show(self.outcome)
        self.hook("postprocess", self.p, processed)
        return processed

    def show(self, outcome: Outcome) -> Processed:
        """Show an outcome, and remember which pictures the pipeline made: their files need not be made again."""
        processed = processed_of(self.p, outcome)
        shown = [*([outcome.grid] if outcome.grid else []), *outcome.images]
        self.root.made |= {id(image): (image, one) for image, one in zip(processed.images, shown, strict=True)}
        self.root.outcome = outcome
        return processed

    def _tell_params(self, outcome: Outcome) -> None:
        plan = self._with_params(outcome.plan)
        self.outcome = outcome if plan is outcome.plan else replace(outcome, plan=plan)

    def _settings(self) -> Snapshot:
        """Apply what was assigned and what the job overrides; what only extensions know is kept beside."""
        settings = self.ctx.settings
        wanted = {**self.assigned, **chosen_folders(self.p, settings), **(self.p.override_settings or {})}
        for key, value in wanted.items():
            if key not in settings.declarations():
                self.overrides[key] = value
                continue
            try:
                settings = settings.with_overrides({key: value})
            except WebuiError as error:
                self.ctx.note(f"the setting {key} stays as it is: {error}")
        return settings

    def _forget(self) -> None:
        if self.networks:
            networks.deactivate(self.p, self.networks, self.report)
        self.p.close()

    def hook(self, method: str, *arguments: Any, **more: Any) -> None:
        """Call a hook of the scripts of this job."""
        runner = self.p.scripts
        call = getattr(runner, method, None) if runner is not None else None
        if call is not None:
            call(*arguments, **more)

    def _handlers(self) -> list[Handler]:
        """Return what has to be called where, for this job only."""
        scripted: list[tuple[type[Hook], Callable[[Any], Any]]] = [
            (PlanMade, self._plan_made), (BeforeBatches, partial(sampling.before_batches, self)),
            (BeforeConditioning, self._before_conditioning), (BeforeSampling, self._before_sampling),
            (BeforeNetwork, partial(guiding.before_network, self)), (AfterNetwork, partial(guiding.after_network, self)),
            (AfterGuidance, partial(guiding.after_guidance, self)), (AfterStep, self._after_step),
            (AfterSampling, self._after_sampling), (AfterDecode, self._after_decode), (BeforeSave, self._before_save),
        ]  # fmt: skip
        if self.p.scripts is not None and self.p.scripts.alwayson_scripts:
            scripted += [
                (BatchDecoded, self._batch_decoded), (AfterBlend, partial(sampling.after_blend, self)),
                (BeforeOverlay, self._before_overlay),
            ]  # fmt: skip
        callbacks = host().callbacks
        if callbacks.has("image_saved"):
            scripted.append((AfterSave, self._after_save))
        if callbacks.has("extra_noise"):
            scripted.append((ExtraNoise, partial(sampling.extra_noise, self)))
        if callbacks.has("image_grid"):
            scripted.append((BeforeGrid, self._before_grid))
        # What extensions put in the place of sampling may fail; then the program's own way goes on.
        wrapped: list[tuple[type[Hook], Callable[[Any], Any]]] = [
            (WrapConditioning, networks_text.wrap_conditioning),
            (WrapSampling, partial(sampling.wrap_sampling, self)), (WrapPass, partial(sampling.wrap_pass, self)),
            (WrapNetwork, partial(sampling.wrap_network, self)), (WrapDenoise, partial(sampling.wrap_denoise, self)),
        ]  # fmt: skip
        return [
            *(Handler(name=f"{NAME}/{hook.__name__}", hook=hook, call=call, essential=True) for hook, call in scripted),
            *(Handler(name=f"{NAME}/{hook.__name__}", hook=hook, call=call) for hook, call in wrapped),
        ]

    def _plan_made(self, payload: PlanMade) -> PlanMade:
        p, plan = self.p, payload.plan
        self._show_plan(plan)
        fold.remember(p, plan.request)
        self.hook("process", p)
        if fold.changed(p):
            images = plan.images
            plan = make_plan(fold.request_of(p), self._settings(), host().workshop().shelf())
            plan = replace(plan, images=as_many(plan.images, images))
            fold.remember(p, plan.request)
        plan = self._with_networks(replace(plan, images=self._images(plan)))
        p.main_prompt, p.main_negative_prompt = plan.images[0].prompt, plan.images[0].negative_prompt
        self.state.job_count = max(self.state.job_count, plan.num_runs)
        self.plan = self._with_params(plan)
        return PlanMade(plan=self.plan)

    def _show_plan(self, plan: Plan) -> None:
        """Write what was decided into `p`."""
        p, images = self.p, plan.images
        p.all_prompts, p.all_negative_prompts = (
            [one.prompt for one in images],
            [one.negative_prompt for one in images],
        )
        p.all_seeds, p.all_subseeds = [one.seed for one in images], [one.subseed for one in images]
        p.seed, p.subseed = p.all_seeds[0], p.all_subseeds[0]
        p.sampler_name, p.steps = plan.main.sampler, plan.main.steps
        p.sd_model, p.sd_model_name, p.sd_model_hash = sd_model_now(), plan.model.name, plan.model.short_hash
        p.sd_vae_name, p.sd_vae_hash = plan.model.vae.name if plan.model.vae else None, plan.model.vae_hash
        if isinstance(p, StableDiffusionProcessingTxt2Img) and plan.hires is not None:
            p.all_hr_prompts = [one.hires_prompt for one in images]
            p.all_hr_negative_prompts = [one.hires_negative_prompt for one in images]
            p.hr_upscale_to_x, p.hr_upscale_to_y = plan.hires.run.size.width, plan.hires.run.size.height
        self.state.job_timestamp = plan.created.strftime("%Y%m%d%H%M%S")

    def _images(self, plan: Plan) -> tuple[ImagePlan, ...]:
        """Return the pictures with the texts and seeds that scripts may have changed."""
        p = self.p
        count = min(max(len(p.all_prompts or ()), len(plan.images)), p.n_iter * p.batch_size)
        images = as_many(plan.images, plan.images, count)
        lists: dict[str, Any] = {
            "prompt": p.all_prompts, "negative_prompt": p.all_negative_prompts, "seed": p.all_seeds,
            "subseed": p.all_subseeds, "hires_prompt": getattr(p, "all_hr_prompts", None),
            "hires_negative_prompt": getattr(p, "all_hr_negative_prompts", None),
        }  # fmt: skip
        return tuple(changed(image, lists) for image in images)

    def _with_networks(self, plan: Plan) -> Plan:
        """Read the tags again, since prompts may be others now."""
        before = self.plan.images if self.plan is not None else ()
        if plan.images == before:
            return plan
        shelf = host().workshop().shelf()
        library = NetworkShelf(loras=shelf.loras, hypernetworks=shelf.hypernetworks)
        worn, notes = batch_networks(plan.images, plan.request, self.ctx.settings.extra_networks, library)
        return replace(plan, networks=worn, notes=tuple(dict.fromkeys((*plan.notes, *notes))))

    def _with_params(self, plan: Plan) -> Plan:
        """Add what scripts want in the infotext."""
        told = {key: _told(value, self.p) for key, value in (self.p.extra_generation_params or {}).items()}
        told = {key: value for key, value in told.items() if value is not None}
        if all(key in plan.infotext_extra and plan.infotext_extra[key] == value for key, value in told.items()):
            return plan
        return replace(plan, infotext_extra=MappingProxyType({**plan.infotext_extra, **told}))

    def _before_conditioning(self, payload: BeforeConditioning) -> BeforeConditioning:
        p, batch = self.p, payload.batch
        self.batch, p.iteration, p.is_hr_pass = batch, batch.number, False
        self._tell_model()
        self.state.job = f"Batch {batch.number + 1} out of {payload.plan.num_batches}"
        p.prompts, p.negative_prompts = (
            [one.prompt for one in batch.images],
            [one.negative_prompt for one in batch.images],
        )
        p.seeds, p.subseeds = [one.seed for one in batch.images], [one.subseed for one in batch.images]
        self._show_hires_prompts(batch)
        p.rng = noise_of(p, (opt_C, p.height // opt_f, p.width // opt_f))
        about = {"batch_number": batch.number, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
        self.hook("before_process_batch", p, **about)
        batch = self._folded_batch(payload.plan, batch)
        tagged = list(p.prompts)
        if not p.disable_extra_networks:
            p.parse_extra_network_prompts()
            self._activate()
        clean, loras = list(p.prompts), networks_loaded.show(self._with_handed(batch, payload.plan.request))
        about = {"batch_number": batch.number, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
        self.hook("after_extra_networks_activate", p, **about, extra_network_data=p.extra_network_data)
        self.hook("process_batch", p, **about)
        if p.prompts == clean:
            p.prompts = tagged
        batch = self._folded_batch(payload.plan, batch, with_tags=p.prompts == tagged)
        batch = networks_loaded.folded(self._with_handed(batch, payload.plan.request), loras)
        return replace(payload, batch=batch)

    def _tell_model(self) -> None:
        """Tell extensions when another model is in use."""
        bound, loaded = host(), host().workshop().pool.loaded
        if loaded is not None and loaded != bound.model:
            bound.model = loaded
            bound.callbacks.call("model_loaded", sd_model_now(), report=self.report)

    def _show_hires_prompts(self, batch: BatchPlan) -> None:
        p = self.p
        if isinstance(p, StableDiffusionProcessingTxt2Img) and p.enable_hr:
            p.hr_prompts = [one.hires_prompt for one in batch.images]
            p.hr_negative_prompts = [one.hires_negative_prompt for one in batch.images]

    def _activate(self) -> None:
        if networks.any_of_extensions():
            self.networks = self.p.extra_network_data or {"": []}
            networks.activate(self.p, self.networks, self.report)

    def activate_hires(self) -> None:
        """Let the kinds of tags that extensions added turn to those of the hires pass."""
        p: Any = self.p
        if self.networks and not p.disable_extra_networks:
            p.hr_extra_network_data = networks.hires_data(p.hr_prompts)
            networks.activate(p, p.hr_extra_network_data, self.report)

    def _with_handed(self, batch: BatchPlan, request: Generation) -> BatchPlan:
        """Leave out the networks that an extension serves now, but for what it hands on."""
        if not self.networks:
            return batch
        shelf, rules = host().workshop().shelf(), self.ctx.settings.extra_networks
        library = NetworkShelf(loras=shelf.loras, hypernetworks=shelf.hypernetworks)

        def find(tags: str) -> Networks:
            found, _ = batch_networks([replace(batch.images[0], prompt=tags)], request, rules, library)
            return found[0].first if found else Networks()

        return networks.with_handed(batch, {} if request.hires else None, find)

    def _folded_batch(self, plan: Plan, batch: BatchPlan, *, with_tags: bool = True) -> BatchPlan:
        """Return the batch with the texts and seeds that `p` has for it now."""
        p = self.p
        lists = {
            "prompt": p.prompts, "negative_prompt": p.negative_prompts, "seed": p.seeds, "subseed": p.subseeds,
            "hires_prompt": getattr(p, "hr_prompts", None),
            "hires_negative_prompt": getattr(p, "hr_negative_prompts", None),
        }  # fmt: skip
        images = tuple(at_place(image, place, lists) for place, image in enumerate(batch.images))
        folded = replace(batch, images=images)
        if not with_tags or [one.prompt for one in images] == [one.prompt for one in batch.images]:
            return folded
        shelf = host().workshop().shelf()
        library = NetworkShelf(loras=shelf.loras, hypernetworks=shelf.hypernetworks)
        worn, _ = batch_networks(images, plan.request, self.ctx.settings.extra_networks, library)
        return replace(folded, networks=replace(worn[0], told=batch.networks.told)) if worn else folded

    def _before_sampling(self, payload: BeforeSampling) -> None:
        self.state.sampling_step, self.state.sampling_steps = 0, len(payload.sigmas) - 1

    def _after_step(self, payload: AfterStep) -> None:
        state = self.state
        state.sampling_step = state.current_image_sampling_step = payload.step.index + 1
        state.current_latent = payload.step.denoised
        if self.moment.sampler is not None:
            guiding.tell_step(self, payload.step)

    def _after_sampling(self, payload: AfterSampling) -> AfterSampling:
        p, plan = self.p, payload.plan
        self.state.nextjob()
        if (
            self.moment.first_samples is None
            and plan.hires is not None
            and not plan.first_given
            and self._inside_plan()
        ):
            self.moment.first_samples = payload.x
            return payload
        p.is_hr_pass = False
        holder = PostSampleArgs(samples=payload.x)
        self.hook("post_sample", p, holder)
        return payload if holder.samples is payload.x else replace(payload, x=holder.samples)

    def _inside_plan(self) -> bool:
        """Tell whether the batch is sampled as planned; a replaced `p.sample` may leave out the hires pass."""
        return self.moment.given is not None

    def _batch_decoded(self, payload: BatchDecoded) -> BatchDecoded:
        p, number = self.p, payload.batch.number
        self.decoded = 0
        # Tensors made under inference mode cannot be changed by everything that extensions do to them.
        pixels = _stacked([one.clone() for one in payload.pixels])
        self.hook("postprocess_batch", p, images=pixels, batch_number=number)
        start, size = number * p.batch_size, len(payload.batch.images)
        p.prompts = list((p.all_prompts or [])[start : start + size])
        p.negative_prompts = list((p.all_negative_prompts or [])[start : start + size])
        holder = PostprocessBatchListArgs(images=list(pixels))
        self.hook("postprocess_batch_list", p, holder, batch_number=number)
        return replace(payload, pixels=_stacked([one.to(payload.pixels[0]) for one in holder.images]))

    def _after_decode(self, payload: AfterDecode) -> AfterDecode:
        p = self.p
        known = payload.image_plan.index - p.iteration * p.batch_size
        # Extensions may have added pictures; those count on.
        p.batch_index, self.decoded = max(known, self.decoded), self.decoded + 1
        holder = PostprocessImageArgs(image=payload.image, index=p.batch_index)
        self.hook("postprocess_image", p, holder)
        image = _recoloured(p, holder.image)
        return payload if image is payload.image else replace(payload, image=image)

    def _before_overlay(self, payload: BeforeOverlay) -> BeforeOverlay:
        p = self.p
        overlay, mask, place = payload.overlay, payload.mask, p.batch_index
        if p.overlay_images and overlay is not None and not any(one is overlay for one in p.overlay_images):
            overlay = p.overlay_images[place] if place < len(p.overlay_images) else None
        mask = getattr(p, "mask_for_overlay", mask)
        holder = PostProcessMaskOverlayArgs(place, mask, overlay)
        self.hook("postprocess_maskoverlay", p, holder)
        return replace(payload, mask=holder.mask_for_overlay, overlay=holder.overlay_image)

    def _before_grid(self, payload: BeforeGrid) -> BeforeGrid:
        params = ImageGridLoopParams(list(payload.pictures), payload.columns, payload.rows)
        host().callbacks.call("image_grid", params, report=self.report)
        pictures = tuple(params.imgs) or payload.pictures
        rows, columns = max(1, int(params.rows)), max(1, int(params.cols))
        return replace(payload, pictures=pictures[: rows * columns], rows=rows, columns=columns)

    def _before_save(self, payload: BeforeSave) -> BeforeSave:
        p = self.p
        holder = PostprocessImageArgs(image=payload.image, index=p.batch_index)
        self.hook("postprocess_image_after_composite", p, holder)
        text = self.describe(payload.plan, payload.image_plan, payload.infotext)
        params = ImageSaveParams(holder.image, p, _file_name(p, payload), {"parameters": text})
        if self._saves(payload.plan):
            host().callbacks.call("before_image_saved", params, report=self.report)
        text = str(params.pnginfo.get("parameters", text))
        return replace(payload, image=params.image, infotext=text)

    def _saves(self, plan: Plan) -> bool:
        return plan.request.output.save_images and self.ctx.settings.saving.samples_save

    def _after_save(self, payload: AfterSave) -> None:
        image = opened(payload.image.data)
        image.already_saved_as = str(payload.path)  # pyright: ignore[reportAttributeAccessIssue]
        params = ImageSaveParams(image, self.p, str(payload.path), {"parameters": payload.image.infotext})
        with working_on(self):  # files are written on another thread
            host().callbacks.call("image_saved", params, report=self.report)

    def describe(self, plan: Plan, image: ImagePlan, known: str) -> str:
        """Write the parameters text of a picture with everything that scripts told until now.

        Args:
            plan: of the run.
            image: the picture; its texts are those of `all_prompts`.
            known: the text as the pipeline wrote it, kept when nothing was added.
        """
        told = self._with_params(plan)
        lists = {"prompt": self.p.all_prompts, "negative_prompt": self.p.all_negative_prompts}
        shown = changed(image, lists)
        if told is plan and shown == image:
            return known
        return infotext(told, shown, self.ctx.settings.infotext, version=host().workshop().version)

    def to_outcome(self, processed: Processed) -> Outcome:
        """Turn results into an outcome; pictures that no extension touched keep their files."""
        outcome = self.outcome or self.nothing()
        first = processed.index_of_first_image
        texts = [*processed.infotexts, *[processed.info] * len(processed.images)]
        made = [self._produced(image, texts[place], grid=place < first) for place, image in enumerate(processed.images)]
        params = {key: _told(value, self.p) for key, value in (processed.extra_generation_params or {}).items()}
        told = {key: value for key, value in params.items() if value is not None}
        plan = replace(
            outcome.plan, infotext_extra=MappingProxyType({**outcome.plan.infotext_extra, **told}),
            images=told_images(outcome.plan.images, processed),
        )  # fmt: skip
        return replace(
            outcome, plan=plan, grid=made[0] if first and made else None, images=tuple(made[1 if first else 0 :]),
            interrupted=self.ctx.cancel.ends_job,
            notes=(*outcome.notes, *(Note(text=text) for text in self.told)),
        )  # fmt: skip

    def nothing(self) -> Outcome:
        """Return an outcome for a script that made no run."""
        plan = make_plan(fold.request_of(self.p), self.ctx.settings, host().workshop().shelf())
        return Outcome(plan=plan, images=())

    def _produced(self, image: Any, text: str, *, grid: bool) -> Produced:
        _, known = self.made.get(id(image), (None, None))
        if known is not None and known.infotext == text:
            return known
        data, kind, (width, height) = encoded(image, text, self.ctx.settings.saving.samples_format)
        plan = known.plan if known is not None and not grid else None
        return Produced(
            data=data, format=kind, infotext=text, width=width, height=height, plan=plan,
            extra=plan is None and not grid, saved_as=known.saved_as if known is not None else None,
        )  # fmt: skip


def _told(value: Any, p: Any) -> Any:
    """Return an infotext value; functions are asked for theirs."""
    if callable(value):
        try:
            value = value(p=p, index=p.batch_index)
        except TypeError:
            value = value()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _stacked(pictures: list[Any]) -> Any:
    """Return pictures [3, H, W] as one tensor where they are of one size."""
    import torch

    return torch.stack(pictures) if len({one.shape for one in pictures}) == 1 else pictures


def _recoloured(p: Any, image: Any) -> Any:
    """Give a picture the colours that scripts want it to have."""
    wanted = p.color_corrections
    if not wanted or p.batch_index >= len(wanted):
        return image
    return facade("processing").apply_color_correction(wanted[p.batch_index], image)


def _file_name(p: Any, payload: BeforeSave) -> str:
    """Return about where a picture will lie; its number is only known when it does."""
    name = f"{payload.image_plan.index:05d}-{payload.image_plan.seed}.png"
    return str(Path(p.outpath_samples or "") / name)


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Make the pictures of a `p` on the calling thread: inside a job as a part of it, elsewhere when its turn comes.

    Raises:
        WebuiError: whatever a run may raise.
        Cancelled: somebody took it out of the queue.
    """
    parent = own_job()
    nested = parent if isinstance(parent, LegacyJob) else None
    with called("process_images"), turn() as ctx:
        return LegacyJob(p, ctx, nested).run()


def process_images_inner(p: StableDiffusionProcessing) -> Processed:
    """Run the pipeline for the job that `process_images` began.

    Raises:
        RuntimeError: it did not.
    """
    job = own_job()
    if job is None or job.p is not p:
        raise RuntimeError("process_images_inner is called by process_images")
    return job.carry_out()


def lone_context() -> JobContext:
    """Return surroundings for what no job of the queue asked for: a route or a button of an extension."""
    bound = host()
    return bound.turn or JobContext(
        job_id="extension", settings=bound.settings.snapshot(), emit=lambda event: logger.debug("%s", event),
        hooks=bound.services().hooks,
    )  # fmt: skip
