"""`on_cfg_denoiser`, `on_cfg_denoised` and `on_cfg_after_cfg`: tensors that callbacks see, change in place or replace."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from modules.compat import networks_loaded
from modules.compat.callback_params import AfterCFGCallbackParams, CFGDenoisedParams, CFGDenoiserParams
from modules.compat.callbacks import guarded
from modules.compat.conditioning import image_of, shown_side, taken_side
from modules.compat.host import RunningJob, facade, host
from modules.hooks.cancel import CancelReason
from modules.hooks.points import AfterGuidance, AfterNetwork, BeforeNetwork
from modules.sampling.types import Step


def tell_step(job: RunningJob, step: Step) -> None:
    """Let the sampler object hear of a step; one that asks to end it ends the batch."""
    sampler = job.moment.sampler
    sampler.last_latent, sampler.step_now = step.x, step.index
    seen = {"x": step.x, "i": step.index, "sigma": step.sigma, "sigma_hat": step.sigma, "denoised": step.denoised}
    try:
        with guarded("callback_state", job.report):
            sampler.callback_state(seen)
    except facade("sd_samplers_common").InterruptedException:
        job.ctx.cancel.set(CancelReason.SKIP)


def before_network(job: RunningJob, payload: BeforeNetwork) -> BeforeNetwork:
    """Show what the network is about to be given."""
    given = payload.given
    cond, uncond = given.sides[0], given.sides[1] if len(given.sides) > 1 else None
    denoiser = _denoiser(job)
    denoiser.step, denoiser.total_steps = given.call, given.total_calls
    if not host().callbacks.has("cfg_denoiser"):
        return payload
    x, texts = given.x.clone(), shown_side(cond)
    missing = shown_side(uncond) if uncond is not None else _zeros(texts)
    image = image_of(cond.extras, cond.tokens)
    params = CFGDenoiserParams(x, image, given.sigma.clone(), given.call, given.total_calls, texts, missing, denoiser)
    before = _snapshots(params)
    host().callbacks.call("cfg_denoiser", params, report=job.report)
    networks_loaded.follow(job.report)
    if not _differs(before, params):
        return payload
    sides = [taken_side(cond, params.text_cond)]
    if uncond is not None:
        sides += [taken_side(uncond, params.text_uncond), *given.sides[2:]]
    changed = replace(given, x=params.x, sigma=params.sigma, sides=tuple(sides))
    return replace(payload, given=changed)


def after_network(job: RunningJob, payload: AfterNetwork) -> AfterNetwork:
    """Show what the network answered, and let a replaced `combine_denoised` see it."""
    payload = _after_network(job, payload)
    job.moment.combined = None if len(payload.given.sides) > 2 else _combined(job, payload)
    return payload


def _combined(job: RunningJob, payload: AfterNetwork) -> Tensor | None:
    """Combine the estimates in another way than the program does, if anything asks for that."""
    denoiser, start = getattr(job.moment.sampler, "model_wrap_cfg", None), job.moment.start
    if denoiser is None or start is None:
        return None
    (asked, *others), rows, row = payload.given.sides, list[list[tuple[int, float]]](), 0
    for parts in getattr(denoiser.start, "positives", start.positives):
        rows.append([(row + place, part.weight) for place, part in enumerate(parts)])
        row += len(parts)
    uncond = shown_side(others[0]) if others else _zeros(shown_side(asked))
    with guarded("combine_denoised", job.report):
        return denoiser.combine(payload.estimates, rows, uncond, len(rows), alone=not others)
    return None


def _after_network(job: RunningJob, payload: AfterNetwork) -> AfterNetwork:
    if not host().callbacks.has("cfg_denoised"):
        return payload
    inner = getattr(job.p.sampler, "model_wrap_cfg", None) or level_denoiser()
    params = CFGDenoisedParams(payload.estimates, payload.given.call, payload.given.total_calls, inner.inner_model)
    host().callbacks.call("cfg_denoised", params, report=job.report)
    return payload if params.x is payload.estimates else replace(payload, estimates=params.x)


def level_denoiser() -> Any:
    """Return what holds the model as it is asked by noise level, where no sampler does."""
    from modules.compat.k_denoisers import level_model
    from modules.compat.sd_model import sd_model_now

    return SimpleNamespace(inner_model=level_model(sd_model_now()))


def after_guidance(job: RunningJob, payload: AfterGuidance) -> AfterGuidance:
    """Show the guided estimate."""
    if job.moment.combined is not None:
        payload = replace(payload, x0=job.moment.combined)
        job.moment.combined = None
    if not host().callbacks.has("cfg_after_cfg"):
        return payload
    params = AfterCFGCallbackParams(payload.x0, payload.given.call, payload.given.total_calls)
    host().callbacks.call("cfg_after_cfg", params, report=job.report)
    return payload if params.x is payload.x0 else replace(payload, x0=params.x)


def _denoiser(job: RunningJob) -> Any:
    """Return what callbacks get as `denoiser`."""
    sampler = job.moment.sampler
    found = sampler.model_wrap_cfg if sampler is not None else None
    return found if found is not None else facade("sd_samplers_cfg_denoiser").CFGDenoiser(sampler)


def _zeros(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {name: torch.zeros_like(value) for name, value in shown.items()}
    return torch.zeros_like(shown)


def _flat(params: CFGDenoiserParams) -> list[Tensor]:
    parts: list[Tensor] = [params.x, params.sigma]
    for shown in (params.text_cond, params.text_uncond):
        parts += list(shown.values()) if isinstance(shown, dict) else [shown]
    return parts


def _snapshots(params: CFGDenoiserParams) -> list[Tensor]:
    return [one.clone() for one in _flat(params)]


def _differs(before: list[Tensor], params: CFGDenoiserParams) -> bool:
    """Tell whether a callback changed anything, in place or by another tensor."""
    after = _flat(params)
    return len(before) != len(after) or any(
        one.shape != other.shape or not torch.equal(one, other) for one, other in zip(before, after, strict=True)
    )
