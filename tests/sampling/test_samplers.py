"""Every sampler against the closed form for Gaussian data: order where it is deterministic, variance where it is not."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from modules.domain.plan import NoiseOptions, SamplerOptions, ScheduleOptions
from modules.sampling.ancestral import dpm2_ancestral, dpmpp_2s_ancestral, euler_ancestral, lcm
from modules.sampling.brownian import BrownianNoise
from modules.sampling.catalogue import SAMPLERS, Controls, sampler_named
from modules.sampling.dpm_solver import dpm_adaptive, dpm_fast
from modules.sampling.dpmpp import dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from modules.sampling.noise import ImageNoise, no_noise, stream_opener
from modules.sampling.ode import dpm2, euler, heun, lagrange_integrals, lms
from modules.sampling.prediction import Prediction, SigmaTable, scaled_linear_alphas
from modules.sampling.restart import restart, restart_intervals
from modules.sampling.schedules import AUTOMATIC
from modules.sampling.start import course_from_noise, noise_source, noised_from_nothing
from modules.sampling.timesteps import ddim, plms, vp_scale
from modules.sampling.unipc import unipc
from tests.sampling.gaussian import CPU, SPREAD, START, exact, falling, ideal, last

TABLE = SigmaTable.from_alphas(scaled_linear_alphas())
PREDICTION = Prediction.named("eps", TABLE)

QUIET = {"noise": no_noise, "eta": 0.0}
DETERMINISTIC = {
    "euler": (euler, 1),
    "heun": (heun, 2),
    "dpm2": (dpm2, 2),
    "lms": (lms, 2),  # its first step is Euler's, which leaves a second-order error
    "dpmpp_2m": (dpmpp_2m, 2),
    "euler_ancestral": (partial(euler_ancestral, **QUIET), 1),
    "dpm2_ancestral": (partial(dpm2_ancestral, **QUIET), 2),
    "dpmpp_2s_ancestral": (partial(dpmpp_2s_ancestral, **QUIET), 2),
    "dpmpp_sde": (partial(dpmpp_sde, **QUIET), 2),
    "dpmpp_2m_sde": (partial(dpmpp_2m_sde, **QUIET), 2),
    "dpmpp_2m_sde_heun": (partial(dpmpp_2m_sde, solver="heun", **QUIET), 2),
    "dpmpp_3m_sde": (partial(dpmpp_3m_sde, **QUIET), 2),
    "restart": (partial(restart, noise=no_noise, s_noise=0.0), 2),
}
EVEN = {"lower_order_final": False}
VARIANCE_PRESERVING = {
    "ddim": (ddim, 1),
    "plms": (plms, 2),  # its second step has only two slopes, which leaves a second-order error
    "unipc_1": (partial(unipc, order=1, **EVEN), 2),  # correcting adds one order
    "unipc_2_bh1": (partial(unipc, order=2, variant="bh1", **EVEN), 3),
    "unipc_2_bh2": (partial(unipc, order=2, variant="bh2", **EVEN), 3),
    "unipc_2_vary": (partial(unipc, order=2, variant="vary_coeff", **EVEN), 1),  # what its released factors reach
    "unipc_3_bh1": (partial(unipc, order=3, variant="bh1", **EVEN), 4),
    "unipc_3_bh2": (partial(unipc, order=3, variant="bh2", **EVEN), 4),
    "unipc_3_final": (unipc, 2),
}


def slope_of_error(sampler, scale_back):
    def error(n):
        sigmas = falling(n)
        x = last(sampler(ideal, START, sigmas)).x * (vp_scale(float(sigmas[-1])) if scale_back else 1)
        return float((x - exact(START, sigmas)).abs().max())

    return math.log2(error(60) / error(120))


@pytest.mark.parametrize("name", [n for n in DETERMINISTIC if n != "restart"])
def test_order_of_accuracy(name):
    sampler, order = DETERMINISTIC[name]
    assert slope_of_error(sampler, scale_back=False) > order - 0.15


@pytest.mark.parametrize("name", VARIANCE_PRESERVING)
def test_order_of_accuracy_in_timesteps(name):
    sampler, order = VARIANCE_PRESERVING[name]
    assert slope_of_error(sampler, scale_back=True) > order - 0.15


def test_dpm_fast_is_third_order():
    def error(calls):
        sigmas = falling(calls)
        return float((last(dpm_fast(ideal, START, sigmas, noise=no_noise)).x - exact(START, sigmas)).abs().max())

    assert math.log2(error(62) / error(125)) > 2.6


def test_dpm_adaptive_meets_its_tolerance():
    sigmas = falling(8)
    steps = list(dpm_adaptive(ideal, START, sigmas, noise=no_noise))
    torch.testing.assert_close(steps[-1].x, exact(START, sigmas), rtol=0.05, atol=0.01)
    assert 5 < len(steps) < 60


@pytest.mark.parametrize("name", [n for n in DETERMINISTIC if n != "lms"])
def test_a_final_zero_ends_on_the_estimate(name):
    sampler, _ = DETERMINISTIC[name]
    calls = []

    def denoise(x, sigma):
        calls.append(float(sigma[0]))
        return ideal(x, sigma)

    sigmas = torch.cat([falling(6), torch.zeros(1)])
    step = last(sampler(denoise, START, sigmas))
    torch.testing.assert_close(step.x, step.denoised)
    assert min(calls) > 0
    assert float(step.sigma) == 0


def test_lagrange_integrals_are_exact_for_polynomials():
    nodes = [3.0, 4.5, 5.0, 9.0]
    weights = lagrange_integrals(nodes, 3.0, 2.0)
    for power in range(4):
        found = sum(w * n**power for w, n in zip(weights, nodes, strict=True))
        assert found == pytest.approx((2.0 ** (power + 1) - 3.0 ** (power + 1)) / (power + 1), rel=1e-9)


def opened(sigmas):
    return BrownianNoise((1, 150, 150), sigmas, [3], CPU, stream_opener("CPU", CPU))


STOCHASTIC = {
    "euler_churn": partial(euler, s_churn=8.0),
    "heun_churn": partial(heun, s_churn=8.0),
    "dpm2_churn": partial(dpm2, s_churn=8.0),
    "euler_ancestral": euler_ancestral,
    "dpm2_ancestral": dpm2_ancestral,
    "dpmpp_2s_ancestral": dpmpp_2s_ancestral,
    "dpm_fast": partial(dpm_fast, eta=1.0),
    "dpm_adaptive": partial(dpm_adaptive, eta=1.0),
    "dpmpp_sde": dpmpp_sde,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "dpmpp_3m_sde": dpmpp_3m_sde,
    "restart": restart,
    "ddim_eta": partial(ddim, eta=1.0),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_keeps_the_variance_of_the_data(name):
    sigmas = falling(150).float()
    image_noise = ImageNoise([11], (1, 150, 150), CPU, source="CPU")
    x = image_noise.initial() * math.sqrt(SPREAD**2 + float(sigmas[0]) ** 2)
    noise = opened(sigmas) if name.startswith("dpmpp") and "2s" not in name else image_noise
    step = last(STOCHASTIC[name](ideal, x, sigmas, noise=noise))
    wanted = math.sqrt(SPREAD**2 + float(sigmas[-1]) ** 2)
    if name == "restart":
        wanted = SPREAD
        step = last(restart(ideal, x, torch.cat([sigmas, torch.zeros(1)]), noise=noise))
    if name == "ddim_eta":
        wanted /= vp_scale(float(sigmas[-1]))
    assert float(step.x.std()) == pytest.approx(wanted, rel=0.04)


def test_lcm_adds_noise_of_the_next_level():
    sigmas = torch.tensor([10.0, 2.0, 0.0])
    x = torch.zeros(1, 1, 100, 100)
    noise = ImageNoise([1], (1, 100, 100), CPU, source="CPU")
    first, second = lcm(lambda x, sigma: torch.ones_like(x), x, sigmas, noise=noise)
    assert float((first.x - 1).std()) == pytest.approx(2.0, rel=0.03)
    assert torch.equal(second.x, torch.ones_like(x))


@pytest.mark.parametrize(("steps", "extra", "ups"), [(19, 0, 0), (20, 0, 1), (35, 0, 1), (36, 0, 2), (51, 0, 2)])
def test_restart_goes_back_up(steps, extra, ups):
    levels = [*falling(steps - 1, 14.6, 0.03).tolist(), 0.0]
    walk = restart_intervals(levels)
    assert len(walk) == steps + extra
    jumps = [(a[1], b[0]) for a, b in pairwise(walk) if a[1] < b[0]]
    assert len(jumps) == ups
    assert all(0.05 < low < 0.2 and 1.5 < high < 2.6 for low, high in jumps)


def picture_dependent(x, sigma):
    s = sigma.view(-1, 1, 1, 1)
    return torch.tanh(x / (s**2 + 1).sqrt())


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.label != "DPM adaptive"], ids=lambda s: s.label)
def test_a_batch_equals_single_pictures(sampler):
    options = SamplerOptions(eta=1.0, s_churn=3.0)
    course = course_from_noise(
        AUTOMATIC, sampler, 9, sampler.adapt(PREDICTION).table, ScheduleOptions(), sampler_options=options
    )

    def run(seeds):
        noise = ImageNoise(seeds, (4, 8, 8), CPU, source="CPU", eta_seed_delta=3)
        x = noised_from_nothing(sampler, noise.initial(), course, sgm_noise_multiplier=False)
        latest = []

        def denoise(x, sigma):
            latest[:] = [picture_dependent(x, sigma)]
            return latest[0]

        controls = Controls(
            noise=noise_source(sampler, noise, course, NoiseOptions()),
            options=options,
            unconditional=lambda: latest[0] * 0.9,
        )
        return last(sampler.run(denoise, x, course.sigmas, controls)).x

    seeds = [5, 6, 7, 8]
    assert torch.equal(run(seeds), torch.cat([run([seed]) for seed in seeds]))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.label)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_few_steps_work(sampler, steps):
    course = course_from_noise(AUTOMATIC, sampler, steps, sampler.adapt(PREDICTION).table, ScheduleOptions())
    noise = ImageNoise([1], (4, 4, 4), CPU, source="CPU")
    x = noised_from_nothing(sampler, noise.initial(), course, sgm_noise_multiplier=False)
    controls = Controls(
        noise=noise_source(sampler, noise, course, NoiseOptions()),
        options=SamplerOptions(eta=1.0),
        unconditional=lambda: torch.zeros_like(x),
    )
    for step in sampler.run(ideal, x, course.sigmas, controls):
        assert torch.isfinite(step.x).all()
        assert torch.isfinite(step.denoised).all()


def test_euler_a_ignores_the_noise_scale():
    assert "s_noise" not in sampler_named("Euler a").takes
    course = course_from_noise(AUTOMATIC, sampler_named("Euler a"), 5, TABLE, ScheduleOptions())

    def run(s_noise):
        noise = ImageNoise([1], (4, 4, 4), CPU, source="CPU")
        controls = Controls(noise=noise, options=SamplerOptions(eta=1.0, s_noise=s_noise))
        return last(sampler_named("Euler a").run(ideal, noise.initial(), course.sigmas, controls)).x

    assert torch.equal(run(1.0), run(2.0))


def test_cfgpp_goes_back_along_the_unconditional_direction():
    sigmas = torch.tensor([3.0, 1.0], dtype=torch.float64)
    conditional, unconditional = torch.full_like(START, 0.5), torch.full_like(START, -0.25)
    step = last(ddim(lambda x, s: conditional, START, sigmas, unconditional=lambda: unconditional))
    expected = conditional + (START - unconditional) / 3.0 * 1.0
    torch.testing.assert_close(step.x * vp_scale(1.0), expected)
