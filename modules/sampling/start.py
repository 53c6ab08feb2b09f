"""Where a run begins: which levels it walks and the latent it starts from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from modules.domain.plan import NoiseOptions, SamplerOptions, ScheduleOptions
from modules.sampling.brownian import BrownianNoise
from modules.sampling.catalogue import Sampler
from modules.sampling.noise import ImageNoise
from modules.sampling.prediction import SigmaTable
from modules.sampling.schedules import Schedule, build_sigmas
from modules.sampling.timesteps import trained_levels, trained_timesteps, vp_scale
from modules.sampling.types import Noise
from modules.sampling.unipc import unipc_levels

MOST_STRENGTH = 0.999
"""A denoising strength of 1 still keeps the count of steps finite."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """The levels of one run."""

    sigmas: Tensor
    """[N + 1] float32 on the CPU, falling; what the sampler walks."""
    schedule: Tensor
    """The whole schedule that `sigmas` is the tail of; Brownian paths span it."""
    noise_sigma: float
    """Level of the noise the run starts from; the timestep family begins one entry below it on an image."""


def image_steps(steps: int, strength: float, *, fix_steps: bool) -> tuple[int, int]:
    """Return (steps of the schedule, steps left over from its end minus one) for a run on an image.

    Args:
        steps: asked for.
        strength: denoising strength, 0 .. 1.
        fix_steps: run all steps asked for on a longer schedule, instead of a part of them.
    """
    part = min(strength, MOST_STRENGTH)
    if fix_steps:
        return (int(steps / part) if strength > 0 else 0), steps - 1
    return steps, int(part * steps)


def sigmas_for(
    schedule: Schedule,
    sampler: Sampler,
    steps: int,
    table: SigmaTable,
    options: ScheduleOptions,
    *,
    sampler_options: SamplerOptions | None = None,
    sdxl: bool = False,
) -> Tensor:
    """Return the levels [N + 1] of a whole run from noise, float32 on the CPU.

    Args:
        schedule: the one that runs. No effect on the timestep family.
        sampler: decides about the family and about dropping the last level but one.
        steps: number of steps; some schedules make a few more.
        table: the levels of the prediction as the sampler reads it (`Sampler.adapt`).
        options: overrides.
        sampler_options: needed by UniPC for its spacing.
        sdxl: use the tables fitted to SDXL.
    """
    one_more = sampler.discard_penultimate or options.discard_penultimate
    if sampler.timesteps:
        timesteps = trained_timesteps(steps + one_more, len(table))
        return _family_levels(sampler, table, timesteps, sampler_options, start=1.0)
    if steps <= 0:
        return torch.zeros(1)
    sigmas = build_sigmas(schedule, steps + one_more, table, options, sdxl=sdxl)
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if one_more else sigmas


def course_from_noise(
    schedule: Schedule,
    sampler: Sampler,
    steps: int,
    table: SigmaTable,
    options: ScheduleOptions,
    *,
    sampler_options: SamplerOptions | None = None,
    sdxl: bool = False,
) -> Course:
    """Plan a run that starts from pure noise; arguments as in `sigmas_for`."""
    sigmas = sigmas_for(schedule, sampler, steps, table, options, sampler_options=sampler_options, sdxl=sdxl)
    walked = sigmas
    if sampler.own_levels and steps > 0:
        # As many levels as before, so that their number still says how many calls are wanted.
        walked = torch.cat([torch.tensor([table.sigma_max]), sigmas[1:-1], torch.tensor([table.sigma_min])])
    return Course(sigmas=walked, schedule=sigmas, noise_sigma=float(sigmas[0]))


def course_from_image(
    schedule: Schedule,
    sampler: Sampler,
    steps: int,
    strength: float,
    table: SigmaTable,
    options: ScheduleOptions,
    *,
    fix_steps: bool = False,
    sampler_options: SamplerOptions | None = None,
    sdxl: bool = False,
) -> Course:
    """Plan a run that starts from a noised latent: the tail of a schedule; arguments as in `sigmas_for`."""
    steps, left = image_steps(steps, strength, fix_steps=fix_steps)
    if not sampler.timesteps:
        whole = sigmas_for(schedule, sampler, steps, table, options, sampler_options=sampler_options, sdxl=sdxl)
        tail = whole[max(steps - left - 1, 0) :]
        return Course(sigmas=tail, schedule=whole, noise_sigma=float(tail[0]))
    one_more = sampler.discard_penultimate or options.discard_penultimate
    timesteps = trained_timesteps(max(steps, 1) + one_more, len(table))
    run = timesteps[:left] if steps else []
    start = (run[-1] + 1) / len(table) if run else 0.0
    sigmas = _family_levels(sampler, table, run, sampler_options, start=start)
    noise_sigma = float(table.sigmas[timesteps[min(left, len(timesteps) - 1)]]) if steps else 0.0
    return Course(sigmas=sigmas, schedule=sigmas, noise_sigma=noise_sigma)


def noised_from_nothing(sampler: Sampler, noise: Tensor, course: Course, *, sgm_noise_multiplier: bool) -> Tensor:
    """Scale unit noise [B, C, h, w] to the start of a run."""
    sigma = course.noise_sigma
    return noise * (vp_scale(sigma) if sampler.timesteps or sgm_noise_multiplier else sigma)


def noised_image(
    sampler: Sampler,
    latent: Tensor,
    noise: Tensor,
    course: Course,
    *,
    extra: float = 0.0,
    extra_noise: Tensor | None = None,
) -> Tensor:
    """Add noise to a latent for the start of a run.

    Args:
        sampler: the timestep family mixes in variance-preserving space.
        latent: [B, C, h, w] clean.
        noise: [B, C, h, w] unit noise, already times any noise multiplier.
        course: from `course_from_image`.
        extra: more of the same noise.
        extra_noise: what there is more of instead.
    """
    sigma = course.noise_sigma
    if extra_noise is None:
        noised = latent + noise * (sigma + extra)
    else:
        noised = latent + noise * sigma + extra_noise * extra
    if not sampler.timesteps:
        return noised
    vp = noised / vp_scale(sigma)
    return vp * vp_scale(float(course.sigmas[0])) if len(course.sigmas) > 1 else vp


def noise_source(sampler: Sampler, noise: ImageNoise, course: Course, options: NoiseOptions) -> Noise:
    """Return what the sampler asks for noise: the pictures' streams, or Brownian paths seeded by them."""
    if not sampler.brownian:
        return noise
    joint = None if options.sde_batch_determinism else noise.seeds[0]
    return BrownianNoise(noise.shape, course.schedule, noise.seeds, noise.device, noise.open, joint=joint)


def _family_levels(
    sampler: Sampler, table: SigmaTable, timesteps: list[int], options: SamplerOptions | None, *, start: float
) -> Tensor:
    """Return the levels of the timestep family for rising trained timesteps."""
    if sampler.levels == "unipc" and timesteps:
        skip_type = options.uni_pc_skip_type if options else "time_uniform"
        return unipc_levels(table, len(timesteps), skip_type, start)
    return trained_levels(table, timesteps)
