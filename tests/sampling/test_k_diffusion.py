"""The samplers against k-diffusion's, with the same network, levels and noise; skipped where it is not installed."""

import importlib
import importlib.util
import sys
import types

import pytest
import torch

from modules.domain.plan import SamplerOptions, ScheduleOptions
from modules.sampling.catalogue import SAMPLERS, Controls
from modules.sampling.prediction import SigmaTable, scaled_linear_alphas
from modules.sampling.schedules import AUTOMATIC
from modules.sampling.start import sigmas_for

TABLE = SigmaTable.from_alphas(scaled_linear_alphas())
BASE, PULL = torch.randn(2, 2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def reference(monkeypatch):
    """Import only k-diffusion's sampling file: the package itself wants its whole training stack."""
    found = importlib.util.find_spec("k_diffusion") if importlib.util.find_spec("torchsde") else None
    if found is None:
        pytest.skip("k-diffusion is not installed")
    package, utils, solver = (types.ModuleType(name) for name in ("k_diffusion", "k_diffusion.utils", "torchdiffeq"))
    package.__path__ = list(found.submodule_search_locations or ())
    vars(utils)["append_dims"] = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
    vars(package)["utils"] = utils
    vars(solver)["odeint"] = None
    for module in (package, utils, solver):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "k_diffusion.sampling", raising=False)
    sampling = importlib.import_module("k_diffusion.sampling")
    monkeypatch.delitem(sys.modules, "k_diffusion.sampling")
    return sampling


class Draws:
    """Stand-in for the torch module and for a noise sampler: the same stream of values for both programs."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn_like(self, x):
        return torch.randn(x.shape, generator=self.generator)

    def __call__(self, sigma, sigma_next):
        return self.randn_like(BASE)


def network(x, sigma, **_):
    s = sigma.view(-1, 1, 1, 1)
    return torch.tanh(x / (s**2 + 1).sqrt() * 0.8 + PULL * 0.3) * 0.9


@pytest.mark.parametrize(("eta", "churn", "s_noise"), [(1.0, 0.0, 1.0), (0.4, 2.0, 1.01)])
@pytest.mark.parametrize("steps", [2, 7, 20])
@pytest.mark.parametrize(
    "sampler", [s for s in SAMPLERS if s.name.startswith("sample_") and s.label != "LCM"], ids=lambda s: s.label
)
def test_same_pictures(reference, monkeypatch, sampler, steps, eta, churn, s_noise):
    sigmas = sigmas_for(AUTOMATIC, sampler, steps, TABLE, ScheduleOptions())
    options = SamplerOptions(eta=eta, s_churn=churn, s_tmin=0.1, s_tmax=5.0, s_noise=s_noise)
    x = BASE * sigmas[0]

    monkeypatch.setattr(reference, "torch", Draws())
    arguments = {name: getattr(options, name) for name in sampler.takes}
    if sampler.brownian:
        arguments["noise_sampler"] = Draws()
    if sampler.solver:
        arguments["solver_type"] = sampler.solver
    if sampler.own_levels:
        arguments |= {"sigma_min": float(sigmas[-2]), "sigma_max": float(sigmas[0])}
        arguments |= {"n": steps} if sampler.label == "DPM fast" else {}
    else:
        arguments["sigmas"] = sigmas
    expected = getattr(reference, sampler.name)(network, x, disable=True, **arguments)

    *_, step = sampler.run(network, x, sigmas, Controls(noise=Draws(), options=options))
    torch.testing.assert_close(step.x, expected, rtol=1e-4, atol=5e-4)
