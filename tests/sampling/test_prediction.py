"""The meaning of network outputs, and the tables of noise levels."""

import pytest
import torch

from modules.sampling.prediction import (
    Prediction,
    SigmaTable,
    Target,
    downcast_alphas,
    predict,
    rescale_zero_terminal_snr,
    scaled_linear_alphas,
)
from modules.sampling.types import Conditioning

TABLE = SigmaTable.from_alphas(scaled_linear_alphas())
NOTHING = Conditioning(tokens=torch.zeros(2, 77, 4))


def test_every_target_recovers_the_clean_latent():
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 2, 4, 5, 5, generator=generator)
    sigma = torch.tensor([0.3, 7.0])
    s = sigma.view(-1, 1, 1, 1)
    a = 1 / (1 + s**2)
    x = x0 + s * noise
    outputs = {"eps": noise, "v": a.sqrt() * noise - (1 - a).sqrt() * x0, "x0": x0}
    for name, output in outputs.items():
        seen = {}

        def network(scaled, t, conditioning, output=output, seen=seen):
            seen.update(scaled=scaled, t=t)
            return output

        found = predict(network, Prediction.named(name, TABLE))(x, sigma, NOTHING)
        torch.testing.assert_close(found, x0, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(seen["scaled"], a.sqrt() * x0 + (1 - a).sqrt() * noise)
        torch.testing.assert_close(TABLE.sigma_of(seen["t"]), sigma)


def test_flow_recovers_the_clean_latent():
    x0, noise = torch.randn(2, 1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    prediction = Prediction.named("flow", SigmaTable.from_flow(3.0))
    x = 0.25 * noise + 0.75 * x0
    found = predict(lambda scaled, t, c: noise - x0 if t.item() == 250 else scaled, prediction)(
        x, torch.tensor([0.25]), NOTHING
    )
    torch.testing.assert_close(found, x0)
    assert SigmaTable.from_flow(3.0).sigma_max == 1.0


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="noise"):
        Prediction.named("noise", TABLE)


def test_timesteps_and_levels_are_inverse():
    t = torch.arange(0, 999, 0.25)
    torch.testing.assert_close(TABLE.t_of(TABLE.sigma_of(t)), t, rtol=0, atol=0.01)
    assert torch.equal(TABLE.t_of(TABLE.sigmas), torch.arange(1000).float())
    assert torch.equal(TABLE.t_of(torch.tensor([1e-4, 1e4])), torch.tensor([0.0, 999.0]))


def test_quantised_timesteps_are_the_nearest():
    table = SigmaTable.from_alphas(scaled_linear_alphas(), quantize=True)
    sigma = torch.linspace(0.02, 16, 300)
    nearest = (sigma.log()[:, None] - table.log_sigmas).abs().argmin(dim=1)
    assert torch.equal(table.t_of(sigma), nearest.float())


def test_zero_terminal_snr_keeps_the_first_level():
    alphas = scaled_linear_alphas()
    rescaled = rescale_zero_terminal_snr(alphas)
    assert rescaled[0] == pytest.approx(float(alphas[0]), rel=1e-6)
    assert rescaled[-1] == pytest.approx(4.8973451890853435e-08)
    assert (rescaled.diff() < 0).all()


def test_downcasting_rounds_to_half():
    assert torch.equal(downcast_alphas(scaled_linear_alphas()), scaled_linear_alphas().half().float())


def test_consistency_models_are_asked_at_every_twentieth_timestep():
    prediction = Prediction.named("eps", TABLE).of_consistency()
    assert (prediction.table.t_min, prediction.table.t_max, len(prediction.table)) == (19, 999, 50)
    t = prediction.timestep(torch.linspace(0.05, 14, 100))
    assert torch.equal((t + 1) % 20, torch.zeros(100))
    x = torch.ones(1, 1, 1, 1)
    sigma = prediction.table.sigmas[:1]
    skip = 0.25 / (190.0**2 + 0.25)
    expected = (1 - float(sigma)) * 190 / (190**2 + 0.25) ** 0.5 + skip
    assert float(prediction.to_x0(x, x, sigma)) == pytest.approx(expected, rel=1e-6)


def test_networks_of_all_noise_levels_are_read_as_diffusers_reads_them():
    from importlib import import_module

    from modules.nn.torchvision_guard import ensure_torchvision_importable

    ensure_torchvision_importable()
    theirs = import_module("diffusers.schedulers.scheduling_edm_euler").EDMEulerScheduler(
        sigma_min=0.002, sigma_max=120.0, sigma_data=1.0, prediction_type="v_prediction"
    )
    ours = Prediction(Target.V, SigmaTable.log_spaced(0.002, 120.0), log_time=True)
    x, output = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5)
    sigma = torch.tensor([0.002, 1.3, 120.0])
    for i in range(3):
        level = sigma[i]
        expected = theirs.precondition_outputs(x[i], output[i], level)
        torch.testing.assert_close(ours.to_x0(x, output, sigma)[i], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(x[i] * ours.input_scale(sigma)[i], theirs.precondition_inputs(x[i], level))
        torch.testing.assert_close(ours.timestep(sigma)[i], theirs.precondition_noise(level))
    assert (ours.table.sigma_min, ours.table.sigma_max) == pytest.approx((0.002, 120.0))
    assert ours.table.log_sigmas.diff().std() < 1e-5
    assert ours.on(torch.device("meta")).log_time
