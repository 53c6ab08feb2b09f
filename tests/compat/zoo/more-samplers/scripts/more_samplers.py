"""Adds samplers in every way that extensions do, and schedules."""

import k_diffusion.sampling
import torch

from modules import sd_samplers, sd_samplers_common, sd_schedulers, shared
from modules.sd_samplers_kdiffusion import KDiffusionSampler, sampler_extra_params

SEEN = {"callbacks": 0, "model": None, "options": None, "levels": None}


@torch.no_grad()
def sample_plain_euler(model, x, sigmas, extra_args=None, callback=None, disable=None):
    extra_args = {} if extra_args is None else extra_args
    ones = x.new_ones([x.shape[0]])
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = x + k_diffusion.sampling.to_d(x, sigmas[i], denoised) * (sigmas[i + 1] - sigmas[i])
    return x


def sample_half_size(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Asks once at half the size, as samplers that save time do."""
    small = x[..., ::2, ::2].contiguous()
    if model.mask is not None:
        model.nmask = torch.nn.functional.interpolate(model.nmask.unsqueeze(0), size=small.shape[2:]).squeeze(0)
        SEEN["mask"] = tuple(model.mask.shape), tuple(model.nmask.shape), tuple(model.init_latent.shape)
    model(small, sigmas[0] * small.new_ones([small.shape[0]]), **extra_args)
    return sample_plain_euler(model, x, sigmas, extra_args, callback, disable)


def sample_with_numbers(
    model, x, sigmas, extra_args=None, callback=None, disable=None, eta=1.0, s_noise=1.0, noise_sampler=None
):
    noise_sampler = noise_sampler or k_diffusion.sampling.default_noise_sampler(x)
    SEEN["options"] = (eta, s_noise)
    SEEN["levels"] = float(model.inner_model.sigmas[-1])
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * x.new_ones([x.shape[0]]), **extra_args)
        callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = denoised + noise_sampler(sigmas[i], sigmas[i + 1]) * sigmas[i + 1]
    return x


def sample_own_noise(model, x, sigmas, extra_args=None, callback=None, disable=None):
    x = x + torch.randn_like(x) * 0.1
    return sample_plain_euler(model, x, sigmas, extra_args, callback, disable)


def sample_unguided(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return sample_plain_euler(model, x, sigmas, {**extra_args, "cond_scale": 1.5}, callback, disable)


def sample_interrupted(model, x, sigmas, extra_args=None, callback=None, disable=None):
    def told(d):
        SEEN["told"] = d["i"]
        shared.state.interrupt()
        callback(d)

    return sample_plain_euler(model, x, sigmas, extra_args, told, disable)


class Counting(KDiffusionSampler):
    def callback_state(self, d):
        SEEN["callbacks"] += 1


def sample_breaks(model, x, sigmas, extra_args=None, callback=None, disable=None):
    raise ValueError("no idea how to walk")


k_diffusion.sampling.sample_named_euler = sample_plain_euler
sampler_extra_params["sample_named_euler"] = []
sampler_extra_params[sample_with_numbers] = ["s_noise"]


def line(name, function, aliases=(), options=None, kind=KDiffusionSampler):
    return sd_samplers_common.SamplerData(name, lambda model: kind(function, model), list(aliases), options or {})


sd_samplers.all_samplers.append(line("Plain Euler", sample_plain_euler, ["k_plain_euler"]))
sd_samplers.all_samplers.extend(
    [
        line("Numbers Karras-ish", sample_with_numbers, options={"scheduler": "karras", "uses_ensd": True}),
        line("Half size", sample_half_size),
        line("Own noise", sample_own_noise),
        line("Unguided", sample_unguided),
        line("Interrupted", sample_interrupted),
        line("Breaks", sample_breaks),
        line("Counting", sample_plain_euler, kind=Counting),
    ]
)
sd_samplers.all_samplers_map = {one.name: one for one in sd_samplers.all_samplers}
sd_samplers.all_samplers_map["Named Euler"] = line("Named Euler", "sample_named_euler")
sd_samplers.all_samplers_map["Our Heun"] = line("Our Heun", "sample_heun")
sd_samplers.set_samplers()


def straight(n, sigma_min, sigma_max, device):
    return torch.cat([torch.linspace(sigma_max, sigma_min, n, device=device), torch.zeros(1, device=device)])


def from_inside(n, sigma_min, sigma_max, inner_model, device):
    return inner_model.get_sigmas(n).to(device)


def broken(n, sigma_min, sigma_max, device):
    return torch.full((n + 1,), float("nan"))


sd_schedulers.schedulers.append(sd_schedulers.Scheduler("straight", "Straight down", straight))
sd_schedulers.schedulers.append(sd_schedulers.Scheduler("inside", "From inside", from_inside, need_inner_model=True))
sd_schedulers.schedulers.append(sd_schedulers.Scheduler("broken", "Broken", broken))
sd_schedulers.schedulers_map = {
    **{one.name: one for one in sd_schedulers.schedulers},
    **{one.label: one for one in sd_schedulers.schedulers},
}
