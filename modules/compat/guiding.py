"""`on_cfg_denoiser`, `on_cfg_denoised` and `on_cfg_after_cfg`: tensors that callbacks see, change in place or replace."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from modules.compat.callback_params import AfterCFGCallbackParams, CFGDenoisedParams, CFGDenoiserParams
from modules.compat.host import RunningJob, facade, host
from modules.hooks.points import AfterGuidance, AfterNetwork, BeforeNetwork
from modules.sampling.types import Conditioning, Step


class Denoiser:
    """What callbacks get as `denoiser`: where guidance stands."""

    def __init__(self, p: Any) -> None:
        self.p = p
        self.step = 0
        self.total_steps = 0
        self.steps = 0
        self.mask = self.nmask = self.init_latent = None
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.cond_scale_miltiplier = 1.0
        self.padded_cond_uncond = False
        self.inner_model = p.sd_model


class SamplerView:
    """`p.sampler` while a pass runs."""

    def __init__(self, p: Any, sigmas: Tensor) -> None:
        self.p, self.config = p, None
        self.model_wrap_cfg = Denoiser(p)
        self.model_wrap = p.sd_model
        self.funcname = p.sampler_name
        self.sampler_noises = None
        self.stop_at = None
        self.eta = p.eta
        self.conditioning_key = "crossattn"
        self.last_latent: Tensor | None = None
        self.step_now, self.steps = 0, len(sigmas) - 1

    def step(self, step: Step) -> None:
        """Hear of a step, and let a replaced `callback_state` hear of it too."""
        self.last_latent, self.step_now = step.x, step.index
        self.callback = facade("sd_samplers_kdiffusion").KDiffusionSampler.callback_state
        seen = {"x": step.x, "i": step.index, "sigma": step.sigma, "sigma_hat": step.sigma, "denoised": step.denoised}
        self.callback(self, seen)


def before_network(job: RunningJob, payload: BeforeNetwork) -> BeforeNetwork:
    """Show what the network is about to be given."""
    given = payload.given
    cond, uncond = given.sides[0], given.sides[1] if len(given.sides) > 1 else None
    denoiser = job.p.sampler.model_wrap_cfg if job.p.sampler is not None else Denoiser(job.p)
    denoiser.step, denoiser.total_steps = given.call, given.total_calls
    x, texts = given.x.clone(), _shown(cond)
    missing = _shown(uncond) if uncond is not None else _zeros(texts)
    params = CFGDenoiserParams(x, _image(cond), given.sigma.clone(), given.call, given.total_calls, texts, missing, denoiser)  # fmt: skip
    before = _snapshots(params)
    host().callbacks.call("cfg_denoiser", params, report=job.report)
    if not _differs(before, params):
        return payload
    sides = [_taken(cond, params.text_cond)]
    if uncond is not None:
        sides += [_taken(uncond, params.text_uncond), *given.sides[2:]]
    changed = replace(given, x=params.x, sigma=params.sigma, sides=tuple(sides))
    return replace(payload, given=changed)


def after_network(job: RunningJob, payload: AfterNetwork) -> AfterNetwork:
    """Show what the network answered."""
    params = CFGDenoisedParams(payload.estimates, payload.given.call, payload.given.total_calls, job.p.sd_model)
    host().callbacks.call("cfg_denoised", params, report=job.report)
    return payload if params.x is payload.estimates else replace(payload, estimates=params.x)


def after_guidance(job: RunningJob, payload: AfterGuidance) -> AfterGuidance:
    """Show the guided estimate."""
    params = AfterCFGCallbackParams(payload.x0, payload.given.call, payload.given.total_calls)
    host().callbacks.call("cfg_after_cfg", params, report=job.report)
    return payload if params.x is payload.x0 else replace(payload, x0=params.x)


def _shown(side: Conditioning) -> Any:
    """Return encoded prompts as A1111 has them: a tensor, or a dict for networks that are told more."""
    if side.pooled is None:
        return side.tokens.clone()
    return {"crossattn": side.tokens.clone(), "vector": side.pooled.clone()}


def _taken(side: Conditioning, shown: Any) -> Conditioning:
    if isinstance(shown, dict):
        return replace(side, tokens=shown["crossattn"], pooled=shown["vector"])
    return replace(side, tokens=shown)


def _zeros(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {name: torch.zeros_like(value) for name, value in shown.items()}
    return torch.zeros_like(shown)


def _image(side: Conditioning) -> Tensor | None:
    return side.extras.get("concat")


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
