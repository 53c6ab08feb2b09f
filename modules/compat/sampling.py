"""Sampling as A1111's extensions know it: `p.sample`, `p.sampler`, `p.rng` and what they replace, around native walks."""

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modules.compat.callback_params import ExtraNoiseParams, MaskBlendArgs
from modules.compat.conditioning import (
    IMAGE,
    extras_with,
    from_network_dict,
    image_of,
    network_dict,
    taken_negatives,
    taken_positives,
)
from modules.compat.host import RunningJob, facade, host, own_job
from modules.compat.job_noise import noise_of, open_noise
from modules.compat.moment import Moment, moment_of
from modules.hooks.points import (
    AfterBlend,
    BeforeBatches,
    ExtraNoise,
    WrapDenoise,
    WrapNetwork,
    WrapPass,
    WrapSampling,
)
from modules.sampling.noise import GivenNoise
from modules.sampling.types import Conditioning
from modules.sampling.walks import Start, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator


def before_batches(job: RunningJob, payload: BeforeBatches) -> BeforeBatches:
    """Call `p.init`, and go on with what it left in `p.init_latent`, `p.nmask` and `p.image_conditioning`."""
    p, moment = job.p, job.moment
    moment.opening = payload
    try:
        p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
    finally:
        moment.opening = None
    if payload.latent is None or getattr(p, "init_latent", None) is None:
        return payload
    changes: dict[str, Any] = {}
    if not same(p.init_latent, payload.latent):
        changes["latent"] = p.init_latent.to(payload.latent)
    if payload.repaint is not None and p.nmask is not None and not same(p.nmask, payload.repaint):
        changes["repaint"] = p.nmask.to(payload.repaint)
    extras = extras_with(payload.extras, p.image_conditioning)
    if extras is not payload.extras and not same(extras[IMAGE], payload.extras.get(IMAGE)):
        changes["extras"] = extras
    return replace(payload, **changes) if changes else payload


def open_pictures(p: Any, opening: BeforeBatches) -> None:
    """Write into `p` what a run on pictures starts from."""
    if opening.latent is None:
        return
    p.init_latent = opening.latent.clone()
    p.image_conditioning = image_of(opening.extras, p.init_latent).clone()
    if opening.repaint is not None:
        p.nmask = opening.repaint.clone()
        p.mask = 1 - p.nmask
    p.overlay_images = list(opening.overlays) or None
    p.mask_for_overlay = opening.overlay_mask
    if opening.box is not None:
        left, top, right, bottom = opening.box
        p.paste_to = (left, top, right - left, bottom - top)


def wrap_sampling(job: RunningJob, payload: WrapSampling) -> WrapSampling:
    """Sample a batch by `p.sample`."""

    def sample() -> Tensor:
        p, moment = job.p, job.moment
        with _at(moment, payload.start, payload.walk):
            moment.planned, moment.given, moment.first_samples = payload.sample, None, None
            open_noise(p, payload.start.noise)
            p.setup_conds()
            p.extra_generation_params.update(facade("sd_hijack").model_hijack.extra_generation_params)
            found = p.sample(
                conditioning=p.c, unconditional_conditioning=p.uc, seeds=p.seeds, subseeds=p.subseeds,
                subseed_strength=p.subseed_strength, prompts=p.prompts,
            )  # fmt: skip
        if not isinstance(found, Tensor):
            raise TypeError(f"p.sample must return latents, not {type(found).__name__}")
        return found.to(payload.start.latent) if payload.start.latent is not None else found

    return replace(payload, sample=sample)


@contextmanager
def _at(moment: Moment, start: Start, walk: Walk) -> "Iterator[None]":
    before = moment.start, moment.walk
    moment.start, moment.walk = start, walk
    try:
        yield
    finally:
        moment.start, moment.walk = before


def sample_as_planned(p: Any, conditioning: Any, unconditional_conditioning: Any) -> Tensor:
    """Do what `p.sample` does while nobody replaced it.

    Raises:
        RuntimeError: no run is at this point.
    """
    moment = moment_of(p)
    if moment.planned is None:
        raise RuntimeError("p.sample is called by a run; start one with process_images")
    moment.given = (conditioning, unconditional_conditioning)
    return moment.planned()


def wrap_pass(job: RunningJob, payload: WrapPass) -> WrapPass:
    """Walk with an object that `create_sampler` makes, from noise that `p.rng` draws."""

    def walk(start: Start) -> Tensor:
        with _at(job.moment, start, payload.walk):
            return _second_pass(job, start) if payload.number else _first_pass(job, start)

    return replace(payload, walk=walk)


def _first_pass(job: RunningJob, start: Start) -> Tensor:
    p, c, uc = job.p, *(job.moment.given or (job.p.c, job.p.uc))
    p.sampler = facade("sd_samplers").create_sampler(p.sampler_name, p.sd_model)
    open_noise(p, start.noise)
    noise = p.rng.next()
    if start.latent is None:
        job.hook("process_before_every_sampling", p, x=noise, noise=noise, c=c, uc=uc)
        return p.sampler.sample(p, noise, c, uc, image_conditioning=p.txt2img_image_conditioning(noise))
    if start.noise_multiplier != 1:
        noise = noise * start.noise_multiplier
    latent = getattr(p, "init_latent", None)
    latent = start.latent if latent is None or latent.shape[1:] != start.latent.shape[1:] else latent[: len(noise)]
    job.hook("process_before_every_sampling", p, x=latent, noise=noise, c=c, uc=uc)
    told = getattr(p, "image_conditioning", None)
    return p.sampler.sample_img2img(p, latent, noise, c, uc, image_conditioning=told)


def _second_pass(job: RunningJob, start: Start) -> Tensor:
    p, first = job.p, job.moment.first_samples
    own = vars(p).get("sample_hr_pass")
    if own is None or first is None:
        return hires_as_planned(p)
    found = own(first, None, p.seeds, p.subseeds, p.subseed_strength, p.prompts)
    if isinstance(found, list) and all(isinstance(one, Tensor) and one.shape[0] == first.shape[1] for one in found):
        found = torch.stack(found)  # what the function inside returned, gathered picture by picture
    if not isinstance(found, Tensor) or len(found) != len(first):
        raise TypeError(f"p.sample_hr_pass must return {len(first)} latents, not {len(found) if isinstance(found, list | Tensor) else 'a'} {type(found).__name__}")  # fmt: skip
    return found


def hires_as_planned(p: Any) -> Tensor:
    """Do what `p.sample_hr_pass` does while nobody replaced it: walk on what the first pass made, enlarged already.

    Raises:
        RuntimeError: no run is at this point.
    """
    job, moment = own_job(), moment_of(p)
    start = moment.start
    if job is None or start is None or start.latent is None:
        raise RuntimeError("p.sample_hr_pass is called by a run; start one with process_images")
    p.is_hr_pass, latent = True, start.latent
    name = getattr(p, "hr_sampler_name", None)
    p.sampler = facade("sd_samplers").create_sampler(name if name not in (None, "", "Use same sampler") else p.sampler_name, p.sd_model)  # fmt: skip
    p.rng = noise_of(p, latent.shape[1:])
    open_noise(p, start.noise)
    noise = p.rng.next()
    job.activate_hires()
    p.calculate_hr_conds()
    job.hook("before_hr", p)
    job.hook("process_before_every_sampling", p, x=latent, noise=noise, c=p.hr_c, uc=p.hr_uc)
    told = image_of(start.extras, latent)
    return p.sampler.sample_img2img(p, latent, noise, p.hr_c, p.hr_uc, steps=start.steps, image_conditioning=told)


def walk_with(sampler: Any, p: Any, latent: Tensor | None, noise: Tensor, c: Any, uc: Any, steps: int | None, image: Any) -> Tensor:  # fmt: skip
    """Walk natively from what a sampler object was given; see `Sampler.sample`.

    Raises:
        RuntimeError: no run is at this point.
    """
    moment = moment_of(p)
    start, walk = moment.start, moment.walk
    if start is None or walk is None:
        raise RuntimeError("samplers walk within a run; start one with process_images")
    sampler.initialize(p)
    denoiser = sampler.model_wrap_cfg
    changed = replace(
        start, latent=latent, noise=GivenNoise(noise, start.noise, p.rng.next), steps=steps or p.steps,
        positives=start.positives if c is None else taken_positives(c, start.positives),
        negatives=start.negatives if uc is None else taken_negatives(uc, start.negatives),
        sampler=label_of(sampler, start), cfg_scale=_scale(p, start), noise_multiplier=1.0,
        strength=_strength(p, start), fix_steps=start.fix_steps or (steps is not None and latent is not None),
        extras=extras_with(start.extras, image), needs_negative=denoiser is not None and denoiser.combines,
    )  # fmt: skip
    before, moment.sampler = moment.sampler, sampler
    try:
        if denoiser is not None:
            denoiser.open(p, changed, c, uc, image)
        return walk(changed)
    finally:
        moment.sampler = before
        if denoiser is not None:
            denoiser.close()


def _scale(p: Any, start: Start) -> float:
    """Return the guidance scale; the hires pass may have one of its own, which scripts change by `p.cfg_scale`."""
    job = own_job()
    planned = job.plan.guidance.cfg_scale if job is not None and job.plan is not None else None
    return start.cfg_scale if p.cfg_scale == planned else float(p.cfg_scale)


def _strength(p: Any, start: Start) -> float:
    value = getattr(p, "denoising_strength", None)
    return start.strength if value is None else float(value)


def label_of(sampler: Any, start: Start) -> str:
    """Return the native sampler that an object stands for."""
    from modules.sampling.catalogue import SAMPLERS

    name = sampler.config.name if sampler.config is not None else None
    if name == start.sampler:
        return start.sampler
    labels = {one.label for one in SAMPLERS}
    by_function = {one.name: one.label for one in reversed(SAMPLERS)}
    known = by_function.get(sampler.funcname) if isinstance(sampler.funcname, str) else None
    return name if name in labels else known or name or start.sampler


def wrap_denoise(job: RunningJob, payload: WrapDenoise) -> WrapDenoise:
    """Let a replaced `CFGDenoiser.forward` guide."""
    denoiser = getattr(job.moment.sampler, "model_wrap_cfg", None)
    if denoiser is None:
        return payload
    denoiser.native = payload.denoise

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        if denoiser.inside or not denoiser.guides:
            return payload.denoise(x, sigma)
        return denoiser(x, sigma, **denoiser.told(x))

    return replace(payload, denoise=denoise)


def wrap_network(job: RunningJob, payload: WrapNetwork) -> WrapNetwork:
    """Let a replaced `inner_model.forward`, or a replaced `apply_model`, answer for the network."""
    from modules.compat.sd_model import answers_itself, sd_model_now

    denoiser = getattr(job.moment.sampler, "model_wrap_cfg", None)
    if denoiser is None:
        return payload

    def predict(x: Tensor, sigma: Tensor, told: Conditioning) -> Tensor:
        inner = denoiser.inner_model if answers_itself(sd_model_now()) else denoiser.opened_model
        if inner is None or not inner.answers:
            return payload.predict(x, sigma, told)
        with inner.asking(lambda one, level, cond: payload.predict(one, level, from_network_dict(cond, told))):
            return inner(x, sigma, cond=network_dict(told, x))

    return replace(payload, predict=predict)


def after_blend(job: RunningJob, payload: AfterBlend) -> AfterBlend:
    """Let scripts change how latents are mixed under the mask."""
    denoiser = getattr(job.moment.sampler, "model_wrap_cfg", None) if payload.sigma is not None else None
    given = MaskBlendArgs(
        payload.current, payload.repaint, payload.clean, 1 - payload.repaint, payload.blended, denoiser, payload.sigma
    )
    job.hook("on_mask_blend", job.p, given)
    return payload if given.blended_latent is payload.blended else replace(payload, blended=given.blended_latent)


def extra_noise(job: RunningJob, payload: ExtraNoise) -> ExtraNoise:
    """Let callbacks change the noise that comes on top."""
    params = ExtraNoiseParams(payload.noise.clone(), payload.latent, payload.x)
    host().callbacks.call("extra_noise", params, report=job.report)
    return payload if same(params.noise, payload.noise) else replace(payload, noise=params.noise)


def same(value: Any, other: Any) -> bool:
    return value is other or (other is not None and value.shape == other.shape and bool(torch.equal(value, other)))
