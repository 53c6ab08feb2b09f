"""Samplers beyond the twenty of older lists, against closed forms: what each is exact for, and how fast it converges."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from modules.domain.plan import SamplerOptions
from modules.sampling.adams import deis, ipndm, ipndm_v, time_of, varying_factors
from modules.sampling.ancestral import ddpm, euler_ancestral
from modules.sampling.catalogue import SAMPLERS, Controls, sampler_named
from modules.sampling.cfgpp import dpmpp_2m_cfgpp, euler_cfgpp
from modules.sampling.dpmpp import dpmpp_2m
from modules.sampling.er_sde import er_sde, noise_scale
from modules.sampling.exponential import (
    NOISE_FROM_SIGMA,
    NOISE_TO_SIGMA,
    dpmpp_3m,
    res_multistep,
    sa_solver,
)
from modules.sampling.noise import ImageNoise, no_noise
from modules.sampling.ode import euler, gradient_estimation, heunpp2
from tests.sampling.gaussian import CPU, SPREAD, START, exact, falling, ideal, last

PLAIN = {"unconditional": None}
DETERMINISTIC = {
    # A first step of first order leaves a second-order error, whatever follows.
    "deis": (deis, 2),
    "ipndm_v": (ipndm_v, 2),
    "res_multistep": (res_multistep, 2),
    "dpmpp_2m_cfgpp": (partial(dpmpp_2m_cfgpp, **PLAIN), 2),
    "sa_solver": (partial(sa_solver, noise=no_noise, eta=0.0), 3),  # its first step is corrected
    # These do not fit the widths of the steps.
    "ipndm": (ipndm, 1),
    "heunpp2": (heunpp2, 1),
    "gradient_estimation": (gradient_estimation, 1),
    "euler_cfgpp": (partial(euler_cfgpp, **PLAIN), 1),
}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order_of_accuracy(name):
    sampler, order = DETERMINISTIC[name]

    def error(n):
        sigmas = falling(n)
        return float((last(sampler(ideal, START, sigmas)).x - exact(START, sigmas)).abs().max())

    assert math.log2(error(60) / error(120)) > order - 0.15


@pytest.mark.parametrize("sampler", [dpmpp_3m, deis])
def test_third_order_after_a_fine_beginning(sampler):
    """The lower order of the first two steps no longer shows when they are short."""

    def error(n):
        sigmas = falling(n)
        fine = falling(60, float(sigmas[0]), float(sigmas[1]))
        return float((last(sampler(ideal, START, torch.cat([fine, sigmas[2:]]))).x - exact(START, sigmas)).abs().max())

    assert math.log2(error(30) / error(60)) > 2.85


def test_each_order_halves_the_error_of_the_one_below():
    sigmas = falling(30)
    errors = [
        float((last(sampler(ideal, START, sigmas)).x - exact(START, sigmas)).abs().max())
        for sampler in (euler, res_multistep, dpmpp_3m)
    ]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


STOCHASTIC = {
    "ddpm": ddpm,
    "er_sde": er_sde,
    "sa_solver": sa_solver,
    "euler_a_cfgpp": partial(euler_cfgpp, unconditional=None, eta=1.0),
}
ALL = (
    {"dpmpp_3m": dpmpp_3m}
    | {name: sampler for name, (sampler, _) in DETERMINISTIC.items()}
    | {name: partial(sampler, noise=no_noise) for name, sampler in STOCHASTIC.items()}
)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_a_final_zero_ends_on_the_estimate(name, steps):
    calls = []

    def denoise(x, sigma):
        calls.append(float(sigma[0]))
        return ideal(x, sigma)

    sigmas = torch.cat([falling(6)[7 - steps :], torch.zeros(1)])
    step = last(ALL[name](denoise, START, sigmas))
    torch.testing.assert_close(step.x, step.denoised)
    assert min(calls) > 0
    assert (step.index, float(step.sigma)) == (steps - 1, 0)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_keeps_the_variance_of_the_data(name):
    sigmas = falling(150).float()
    noise = ImageNoise([11], (1, 150, 150), CPU, source="CPU")
    x = noise.initial() * math.sqrt(SPREAD**2 + float(sigmas[0]) ** 2)
    found = last(STOCHASTIC[name](ideal, x, sigmas, noise=noise)).x
    assert float(found.std()) == pytest.approx(math.sqrt(SPREAD**2 + float(sigmas[-1]) ** 2), rel=0.04)
    assert abs(float(found.mean())) < 0.02


def mean_under(rate, sigmas):
    """Return the factor of the mean when it is pulled to the estimate at `rate(sigma)` per unit of log sigma."""
    first, final = math.log(float(sigmas[0])), math.log(float(sigmas[-1]))
    at = torch.linspace(first, final, 20001, dtype=torch.float64)
    pulled = torch.tensor([rate(math.exp(float(u))) for u in at], dtype=torch.float64)
    share = at.mul(2).exp()
    return float(torch.trapezoid(pulled * share / (SPREAD**2 + share), at).exp())


def growth(sigma):
    """Return d log(noise_scale) / d log(sigma)."""
    return 1 + 0.3 * sigma**0.3 * math.exp(sigma**0.3) / (math.exp(sigma**0.3) + 10)


def with_half_the_noise(sigma):
    return 1 + 0.5**2


MEANS = {
    "er_sde_1": (partial(er_sde, order=1), growth, 1, 10.0),
    "er_sde_2": (partial(er_sde, order=2), growth, 2, 10.0),
    "er_sde_3": (er_sde, growth, 2, 10.0),
    "sa_solver": (partial(sa_solver, eta=0.5), with_half_the_noise, 3, NOISE_FROM_SIGMA),
}


@pytest.mark.parametrize("name", MEANS)
def test_the_mean_follows_the_sde(name):
    sampler, rate, order, high = MEANS[name]

    def error(n):
        sigmas = falling(n, high, NOISE_TO_SIGMA + 1e-9)
        found = last(sampler(ideal, START, sigmas, noise=no_noise)).x
        return float((found - START * mean_under(rate, sigmas)).abs().max())

    assert math.log2(error(40) / error(80)) > order - 0.15


@pytest.mark.parametrize("sampler", [ddpm, sa_solver])
def test_the_mean_of_a_posterior_is_exact(sampler):
    """With the noise of the forward process the estimate stays put on average, so any step width will do."""
    sigmas = torch.tensor([NOISE_FROM_SIGMA, 3, 2, NOISE_TO_SIGMA], dtype=torch.float64)
    kept = [SPREAD**2 + float(s) ** 2 for s in (sigmas[0], sigmas[-1])]
    found = last(sampler(ideal, START, sigmas, noise=no_noise)).x
    torch.testing.assert_close(found, START * (kept[1] / kept[0]))


def test_growth_is_that_of_the_noise_scale():
    for sigma in (0.05, 0.8, 9.0):
        rise = math.log(noise_scale(sigma * 1.0001) / noise_scale(sigma)) / math.log(1.0001)
        assert rise == pytest.approx(growth(sigma), rel=1e-4)


def ratios_of(steps, sigmas, wanted):
    """Compare the increments of a run, from the third step on, with exact ones."""
    xs = [step.x for step in steps]
    for (before, after), (high, low) in list(zip(pairwise(xs), pairwise(sigmas.tolist()[1:]), strict=True))[1:]:
        torch.testing.assert_close(after, wanted(before, high, low), rtol=1e-9, atol=1e-10)


def test_deis_is_exact_for_noise_quadratic_in_time():
    def eps(sigma):
        t = time_of(sigma)
        return 0.3 + 2 * t - 1.5 * t * t

    def wanted(before, high, low):
        at = torch.linspace(math.log(high), math.log(low), 4001, dtype=torch.float64)
        values = torch.tensor([eps(math.exp(float(u))) * math.exp(float(u)) for u in at], dtype=torch.float64)
        h = float(at[1] - at[0]) / 3  # Simpson's rule
        return before + h * float(values[0] + values[-1] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum())

    sigmas = falling(9)
    ratios_of(deis(lambda x, s: x - float(s[0]) * eps(float(s[0])), START, sigmas), sigmas, wanted)


def test_ipndm_is_exact_for_noise_cubic_in_even_levels():
    sigmas = torch.linspace(5, 1, 9, dtype=torch.float64)
    steps = list(ipndm(lambda x, s: x - float(s[0]) * float(s[0]) ** 3, START, sigmas))
    for (before, after), (high, low) in list(zip(pairwise(steps), pairwise(sigmas.tolist()[1:]), strict=True))[2:]:
        torch.testing.assert_close(after.x, before.x + (low**4 - high**4) / 4)


def test_varying_factors_are_those_that_were_released():
    assert varying_factors([1.0]) == [1.0]
    assert varying_factors([-0.5, -1.0]) == [1.25, -0.25]
    assert varying_factors([1.0, 1.0, 1.0]) == pytest.approx([23 / 12, -16 / 12, 5 / 12])
    # Adams and Bashforth have 3/8 where the released factors have 11/24.
    assert varying_factors([1.0] * 4) == pytest.approx([57 / 24, -65 / 24, 43 / 24, -11 / 24])


@pytest.mark.parametrize(("sampler", "degree"), [(res_multistep, 1), (dpmpp_3m, 2), (dpmpp_3m, 1)])
def test_exact_for_estimates_polynomial_in_log_sigma(sampler, degree):
    def estimate(x, sigma):
        return torch.full_like(x, 0.4 + math.log(float(sigma[0])) ** degree)

    def wanted(before, high, low):
        # d x / d log(sigma) = x - x0, with x0 = 0.4 + u^degree, has this particular solution.
        def particular(u):
            return 0.4 + (u + 1 if degree == 1 else u * u + 2 * u + 2)

        rest = before - particular(math.log(high))
        return particular(math.log(low)) + rest * (low / high)

    sigmas = torch.tensor([9.0, 7, 4, 3.5, 2, 0.6, 0.1], dtype=torch.float64)
    ratios_of(sampler(estimate, START, sigmas), sigmas, wanted)


def test_ddpm_is_ancestral_sampling():
    sigmas = torch.cat([falling(7), torch.zeros(1)])
    runs = [
        last(sampler(ideal, START, sigmas, noise=ImageNoise([1, 2], (2, 2, 2), CPU, source="CPU"))).x
        for sampler in (ddpm, euler_ancestral)
    ]
    torch.testing.assert_close(*runs)


def test_gradient_estimation_pushes_the_slope():
    sigmas = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    first, second = gradient_estimation(lambda x, s: x - s.view(-1, 1, 1, 1) * s[0], START, sigmas)
    torch.testing.assert_close(first.x, START + 4.0 * -2.0)
    torch.testing.assert_close(second.x, first.x + (2 * 2.0 - 4.0) * -1.0)


def test_heunpp2_counts_its_calls():
    calls = []

    def denoise(x, sigma):
        calls.append(float(sigma[0]))
        return ideal(x, sigma)

    list(heunpp2(denoise, START, torch.cat([falling(7), torch.zeros(1)])))
    assert len(calls) == 3 * 8 - 3
    assert sampler_named("HeunPP2").calls(8) == 24


def test_sa_solver_adds_noise_only_in_the_middle():
    asked = []

    def noise(sigma, sigma_next):
        asked.append(float(sigma_next))
        return torch.zeros_like(START)

    list(sa_solver(ideal, START, falling(20), noise=noise))
    inside = [s for s in falling(20)[1:].tolist() if NOISE_TO_SIGMA <= s <= NOISE_FROM_SIGMA]
    assert asked == pytest.approx(inside, rel=1e-6)
    assert 3 < len(asked) < 20


@pytest.mark.parametrize(
    ("sampler", "plain"), [(euler_cfgpp, euler), (dpmpp_2m_cfgpp, dpmpp_2m)], ids=["euler", "dpmpp_2m"]
)
def test_cfgpp_without_guidance_is_the_plain_sampler(sampler, plain):
    sigmas = torch.cat([falling(7), torch.zeros(1)])
    latest = []

    def denoise(x, sigma):
        latest[:] = [ideal(x, sigma)]
        return latest[0]

    found = [step.x for step in sampler(denoise, START, sigmas, unconditional=lambda: latest[0])]
    torch.testing.assert_close(found, [step.x for step in plain(ideal, START, sigmas)])


@pytest.mark.parametrize("label", ["Euler CFG++", "Euler a CFG++", "DPM++ 2M CFG++"])
def test_cfgpp_goes_back_along_the_unconditional_direction(label):
    sigmas = torch.tensor([3.0, 1.0], dtype=torch.float64)
    conditional, unconditional = torch.full_like(START, 0.5), torch.full_like(START, -0.25)
    controls = Controls(noise=no_noise, options=SamplerOptions(eta=0.0), unconditional=lambda: unconditional)
    sampler = sampler_named(label)
    assert sampler.needs_uncond
    step = last(sampler.run(lambda x, s: conditional, START, sigmas, controls))
    torch.testing.assert_close(step.x, conditional + (START - unconditional) / 3.0)


def test_the_list_begins_as_it_always_did():
    assert [s.label for s in SAMPLERS[:20]] == [
        "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 2S a", "DPM++ 3M SDE", "Euler a", "Euler",
        "LMS", "Heun", "DPM2", "DPM2 a", "DPM fast", "DPM adaptive", "Restart", "DDIM", "DDIM CFG++", "PLMS", "UniPC",
        "LCM",
    ]  # fmt: skip
    aliases = [alias for s in SAMPLERS for alias in s.aliases]
    assert len(aliases) == len(set(aliases))
