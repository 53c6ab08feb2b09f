"""Schedules against recorded levels, and the rules around them."""

import json

import pytest
import torch

from modules.domain.errors import UnknownName
from modules.domain.plan import ScheduleOptions
from modules.sampling.book import BOOK
from modules.sampling.catalogue import sampler_named
from modules.sampling.prediction import SigmaTable, scaled_linear_alphas
from modules.sampling.schedules import AUTOMATIC, SCHEDULES, build_sigmas, schedule_named
from modules.sampling.start import sigmas_for

TABLE = SigmaTable.from_alphas(scaled_linear_alphas())


def test_recorded_levels(shared_dir):
    recorded = json.loads((shared_dir / "golden/internals/sigmas.json").read_text())
    assert pytest.approx(recorded["sigma_min"], rel=1e-7) == TABLE.sigma_min
    assert pytest.approx(recorded["sigma_max"], rel=1e-7) == TABLE.sigma_max
    for key, values in recorded.items():
        if not isinstance(values, list):
            continue
        name, _, count = key.removesuffix(")").partition(" n=")
        label = "Automatic" if name.startswith("default") else name.removeprefix("xl ")
        sigmas = build_sigmas(schedule_named(label), int(count), TABLE, ScheduleOptions(), sdxl=name.startswith("xl "))
        torch.testing.assert_close(sigmas, torch.tensor(values), rtol=1e-6, atol=1e-7, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("steps", [1, 2, 9, 31, 150])
def test_levels_fall(schedule, steps):
    sigmas = build_sigmas(schedule, steps, TABLE, ScheduleOptions(), sdxl=False)
    assert sigmas.dtype == torch.float32
    assert len(sigmas) >= steps + 1
    assert (sigmas.diff() <= 0).all()
    assert sigmas[0] > sigmas[-1] >= 0


def test_names_are_distinct():
    texts = [text for s in SCHEDULES for text in {*s.answers_to()}]
    assert len(texts) == len(set(texts))
    assert schedule_named("SGMUniform").label == "SGM Uniform"
    with pytest.raises(UnknownName, match="Karras"):
        schedule_named("nope")


def test_overrides():
    karras = schedule_named("Karras")
    plain = build_sigmas(karras, 8, TABLE, ScheduleOptions(), sdxl=False)
    moved = build_sigmas(karras, 8, TABLE, ScheduleOptions(sigma_min=0.1, sigma_max=9, rho=3), sdxl=False)
    old = build_sigmas(karras, 8, TABLE, ScheduleOptions(old_karras_range=True), sdxl=False)
    assert (moved[0], moved[-2]) == (pytest.approx(9), pytest.approx(0.1))
    assert (old[0], old[-2]) == (pytest.approx(10), pytest.approx(0.1))
    assert (moved[1:-2] ** (1 / 3)).diff().std() < 1e-6 < (plain[1:-2] ** (1 / 3)).diff().std()
    exponential = schedule_named("Exponential")
    options = ScheduleOptions(rho=3)
    assert torch.equal(
        build_sigmas(exponential, 8, TABLE, options, sdxl=False),
        build_sigmas(exponential, 8, TABLE, ScheduleOptions(), sdxl=False),
    )


def test_discarding_the_penultimate_level():
    karras, euler = schedule_named("Karras"), sampler_named("Euler")
    longer = sigmas_for(karras, euler, 11, TABLE, ScheduleOptions())
    expected = torch.cat([longer[:-2], longer[-1:]])
    assert torch.equal(sigmas_for(karras, sampler_named("DPM2"), 10, TABLE, ScheduleOptions()), expected)
    assert torch.equal(sigmas_for(karras, euler, 10, TABLE, ScheduleOptions(discard_penultimate=True)), expected)


def test_automatic_is_the_samplers_default():
    options = ScheduleOptions()
    karras = BOOK.runs(sampler_named("DPM++ 2M"), AUTOMATIC)
    automatic = sigmas_for(karras, sampler_named("DPM++ 2M"), 10, TABLE, options)
    assert torch.equal(automatic, sigmas_for(schedule_named("Karras"), sampler_named("Euler"), 10, TABLE, options))
    assert BOOK.runs(sampler_named("Euler"), AUTOMATIC) is AUTOMATIC
    uniform = sigmas_for(AUTOMATIC, sampler_named("Euler"), 10, TABLE, options)
    assert torch.equal(uniform, sigmas_for(schedule_named("Uniform"), sampler_named("LMS"), 10, TABLE, options))


@pytest.mark.parametrize(
    ("sdxl", "timesteps"),
    [
        (False, [999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0]),
        (True, [999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0]),
    ],
)
def test_align_your_steps_has_the_published_timesteps(sdxl, timesteps):
    sigmas = build_sigmas(schedule_named("Align Your Steps"), 11, TABLE, ScheduleOptions(), sdxl=sdxl)
    torch.testing.assert_close(sigmas[:-1], TABLE.sigmas[timesteps], rtol=0.005, atol=0.002)
    assert schedule_named("Align Your Steps 11") is schedule_named("Align Your Steps")


@pytest.mark.parametrize("steps", [1, 4, 7, 10, 30])
def test_turbo_is_the_trailing_spacing(steps):
    sigmas = build_sigmas(schedule_named("Turbo"), steps, TABLE, ScheduleOptions(), sdxl=False)
    timesteps = torch.arange(1000, 0, -1000 / steps, dtype=torch.float64).round().long() - 1
    assert torch.equal(sigmas[:-1], TABLE.sigmas[timesteps])
    assert sigmas[0] == TABLE.sigmas[-1]


def test_laplace_has_the_quantiles_of_the_distribution():
    from scipy.stats import laplace

    sigmas = build_sigmas(schedule_named("Laplace"), 9, TABLE, ScheduleOptions(), sdxl=False)
    quantiles = laplace.isf(torch.linspace(0, 1, 9, dtype=torch.float64)[1:-1].numpy(), scale=0.5)
    torch.testing.assert_close(sigmas[1:-2].log(), torch.tensor(quantiles).float(), rtol=0, atol=1e-4)
    assert (sigmas[0], sigmas[-2]) == pytest.approx((TABLE.sigma_max, TABLE.sigma_min))


@pytest.mark.parametrize("steps", [2, 9, 20])
def test_linear_quadratic_is_smooth(steps):
    half = steps // 2
    left = build_sigmas(schedule_named("Linear Quadratic"), steps, TABLE, ScheduleOptions(), sdxl=False).double()
    removed = 1 - left / TABLE.sigma_max
    assert float(removed[half]) == pytest.approx(0.025, rel=1e-4)
    assert removed[: half + 1].diff() == pytest.approx([0.025 / half] * half, rel=1e-3)
    bends = removed.diff().diff()[half:] if half > 1 else torch.zeros(0)
    assert bends == pytest.approx([float(bends[0])] * len(bends) if len(bends) else [], rel=1e-3)
    if half > 1:
        # The parabola leaves along the line: its first bend is half of the others.
        assert float(removed.diff().diff()[half - 1]) == pytest.approx(float(bends[0]) / 2, rel=1e-3)


@pytest.mark.parametrize(("steps", "options"), [(500, {}), (20, {"sigma_max": 2.0, "sigma_min": 0.3})])
def test_laplace_never_stands_still(steps, options):
    sigmas = build_sigmas(schedule_named("Laplace"), steps, TABLE, ScheduleOptions(**options), sdxl=False)
    assert (sigmas.diff() < 0).all()
    assert sigmas[0] == pytest.approx(options.get("sigma_max", TABLE.sigma_max))
