"""Where runs begin: step counts, slices of schedules, mixtures of latent and noise."""

import math

import pytest
import torch

from modules.domain.plan import NoiseOptions, SamplerOptions, ScheduleOptions
from modules.sampling.brownian import BrownianNoise
from modules.sampling.catalogue import sampler_named
from modules.sampling.noise import ImageNoise
from modules.sampling.prediction import SigmaTable, rescale_zero_terminal_snr, scaled_linear_alphas
from modules.sampling.schedules import AUTOMATIC
from modules.sampling.start import (
    course_from_image,
    course_from_noise,
    image_steps,
    noise_source,
    noised_from_nothing,
    noised_image,
    sigmas_for,
)
from modules.sampling.timesteps import trained_timesteps
from modules.sampling.unipc import unipc_levels

TABLE = SigmaTable.from_alphas(scaled_linear_alphas())
OPTIONS = ScheduleOptions()
EULER, DDIM, UNIPC = (sampler_named(label) for label in ("Euler", "DDIM", "UniPC"))
LATENT, NOISE = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("steps", "strength", "fix", "expected"),
    [
        (20, 0.75, False, (20, 15)),
        (20, 1.0, False, (20, 19)),
        (20, 0.0, False, (20, 0)),
        (20, 0.5, True, (40, 19)),
        (20, 1.0, True, (20, 19)),
        (20, 0.0, True, (0, 19)),
        (7, 0.3, True, (23, 6)),
    ],
)
def test_image_steps(steps, strength, fix, expected):
    assert image_steps(steps, strength, fix_steps=fix) == expected


@pytest.mark.parametrize(
    ("strength", "fix", "runs"), [(0.75, False, 16), (0.0, False, 1), (1.0, False, 20), (0.5, True, 20)]
)
def test_tail_of_a_schedule(strength, fix, runs):
    course = course_from_image(AUTOMATIC, EULER, 20, strength, TABLE, OPTIONS, fix_steps=fix)
    assert len(course.sigmas) == runs + 1
    assert torch.equal(course.sigmas, course.schedule[-len(course.sigmas) :])
    assert course.noise_sigma == float(course.sigmas[0])


def test_nothing_runs_when_a_fixed_step_pass_has_no_strength():
    for sampler in (EULER, DDIM, UNIPC):
        course = course_from_image(AUTOMATIC, sampler, 20, 0.0, TABLE, OPTIONS, fix_steps=True)
        assert len(course.sigmas) <= 1
        assert torch.equal(noised_image(sampler, LATENT, NOISE, course), LATENT)


def test_trained_timesteps_may_be_more_than_asked_for():
    assert trained_timesteps(20)[:3] == [1, 51, 101]
    assert (len(trained_timesteps(20)), len(trained_timesteps(30))) == (20, 31)
    assert trained_timesteps(1) == [1]
    assert max(trained_timesteps(1000)) == 999
    assert max(trained_timesteps(3000)) == 999


def test_timestep_family_ignores_the_schedule():
    sigmas = sigmas_for(AUTOMATIC, DDIM, 20, TABLE, OPTIONS)
    assert torch.equal(TABLE.t_of(sigmas).round(), torch.arange(951, 0, -50).float())
    assert len(sigmas_for(AUTOMATIC, UNIPC, 20, TABLE, OPTIONS)) == 21


def test_start_from_noise():
    course = course_from_noise(AUTOMATIC, EULER, 10, TABLE, OPTIONS)
    sigma = float(course.sigmas[0])
    torch.testing.assert_close(noised_from_nothing(EULER, NOISE, course, sgm_noise_multiplier=False), NOISE * sigma)
    torch.testing.assert_close(
        noised_from_nothing(EULER, NOISE, course, sgm_noise_multiplier=True), NOISE * math.sqrt(1 + sigma**2)
    )
    course = course_from_noise(AUTOMATIC, DDIM, 10, TABLE, OPTIONS)
    x = noised_from_nothing(DDIM, NOISE, course, sgm_noise_multiplier=False)
    torch.testing.assert_close(x / math.sqrt(1 + float(course.sigmas[0]) ** 2), NOISE)


def test_start_from_an_image():
    course = course_from_image(AUTOMATIC, EULER, 20, 0.5, TABLE, OPTIONS)
    sigma = float(course.sigmas[0])
    torch.testing.assert_close(
        noised_image(EULER, LATENT, NOISE, course, extra=0.25), LATENT + NOISE * sigma + NOISE * 0.25
    )
    course = course_from_image(AUTOMATIC, DDIM, 20, 0.5, TABLE, OPTIONS)
    assert torch.equal(TABLE.t_of(course.sigmas).round(), torch.arange(451, 0, -50).float())
    a = float(scaled_linear_alphas()[501])
    vp = LATENT * math.sqrt(a) + NOISE * math.sqrt(1 - a) + NOISE * 0.25 * math.sqrt(a)
    x = noised_image(DDIM, LATENT, NOISE, course, extra=0.25)
    torch.testing.assert_close(x / math.sqrt(1 + float(course.sigmas[0]) ** 2), vp)


def test_unipc_spacings():
    def times(skip_type, start=1.0):
        return TABLE.t_of(unipc_levels(TABLE, 10, skip_type, start))

    torch.testing.assert_close(times("time_uniform"), torch.linspace(999, 0, 11), rtol=0, atol=0.05)
    roots = torch.linspace(1, math.sqrt(0.001), 11)
    torch.testing.assert_close(times("time_quadratic"), roots**2 * 1000 - 1, rtol=0, atol=0.05)
    assert float(unipc_levels(TABLE, 10, "logSNR").log().diff().std()) < 1e-6
    assert float(times("time_uniform", 0.5)[0]) == pytest.approx(499, abs=0.01)


def test_unipc_on_an_image_starts_at_the_last_kept_timestep():
    options = SamplerOptions(eta=0.0, uni_pc_skip_type="time_uniform")
    course = course_from_image(AUTOMATIC, UNIPC, 20, 0.5, TABLE, OPTIONS, sampler_options=options)
    assert len(course.sigmas) == 11
    assert float(TABLE.t_of(course.sigmas[:1])) == pytest.approx(451, abs=0.01)
    assert course.noise_sigma == pytest.approx(float(TABLE.sigmas[501]))


def test_levels_of_a_zero_snr_model_are_finite():
    table = SigmaTable.from_alphas(rescale_zero_terminal_snr(scaled_linear_alphas()))
    for sampler in (EULER, DDIM, UNIPC):
        sigmas = sigmas_for(AUTOMATIC, sampler, 10, table, OPTIONS)
        assert torch.isfinite(sigmas).all()
        assert (sigmas.diff() < 0).all()


def test_dpm_fast_spans_the_model_from_noise():
    fast = sampler_named("DPM fast")
    course = course_from_noise(AUTOMATIC, fast, 1, TABLE, OPTIONS)
    assert course.sigmas.tolist() == [TABLE.sigma_max, TABLE.sigma_min]


def test_brownian_samplers_get_paths():
    noise = ImageNoise([1], (4, 4, 4), torch.device("cpu"))
    sde = sampler_named("DPM++ 2M SDE")
    course = course_from_noise(AUTOMATIC, sde, 5, TABLE, OPTIONS)
    assert isinstance(noise_source(sde, noise, course, NoiseOptions()), BrownianNoise)
    assert noise_source(EULER, noise, course, NoiseOptions()) is noise
