"""Which of a request's and a setting's number reaches the sampler."""

from modules.domain.request import Generation, SamplingSpec
from modules.pipeline.options import sampler_options
from modules.sampling.catalogue import sampler_named
from modules.settings.snapshot import Snapshot

EULER = sampler_named("Euler")


def test_the_request_decides_while_the_settings_are_neutral():
    asked = SamplingSpec(eta=0.3, s_churn=20, s_tmin=0.5, s_tmax=8, s_noise=1.01)
    found = sampler_options(Generation(sampling=asked), Snapshot(), EULER)
    assert (found.eta, found.s_churn, found.s_tmin, found.s_tmax, found.s_noise) == (0.3, 20, 0.5, 8, 1.01)
    plain = sampler_options(Generation(), Snapshot(), EULER)
    assert (plain.eta, plain.s_churn, plain.s_tmin, plain.s_tmax, plain.s_noise) == (1, 0, 0, float("inf"), 1)


def test_a_changed_setting_of_churn_wins_and_one_of_eta_does_not():
    changed = {"eta_ancestral": 0.8, "s_churn": 2, "s_tmin": 0.2, "s_tmax": 5, "s_noise": 1.02}
    settings = Snapshot().with_overrides(changed)
    asked = SamplingSpec(eta=0.3, s_churn=20, s_tmin=0.5, s_tmax=8, s_noise=1.01)
    found = sampler_options(Generation(sampling=asked), settings, EULER)
    assert (found.eta, found.s_churn, found.s_tmin, found.s_tmax, found.s_noise) == (0.3, 2, 0.2, 5, 1.02)
    assert sampler_options(Generation(), settings, EULER).eta == 0.8
