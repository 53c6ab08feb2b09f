"""Samplers that step along the estimate without the prompt leave what is kept on its path from noise to clean."""

from typing import Any

import pytest
import torch

from modules.domain.plan import SamplerOptions
from modules.pipeline.begin import LatentMask
from modules.pipeline.denoise import Kept
from modules.sampling.catalogue import Controls, sampler_named
from modules.sampling.noise import no_noise


class Guide:
    """Stand in for guidance: a prompt that pulls one way, none that pulls the other."""

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(x)

    def unconditional(self) -> torch.Tensor:
        return torch.full((1, 4, 4, 4), -1.0)


@pytest.mark.parametrize("label", ["Euler CFG++", "Euler a CFG++", "DPM++ 2M CFG++"])
def test_what_is_kept_stays_on_its_path(label: str) -> None:
    generator = torch.Generator().manual_seed(2)
    clean, noise = torch.randn(2, 1, 4, 4, 4, generator=generator)
    guide: Any = Guide()
    kept = Kept(guide, LatentMask(clean=clean, repaint=torch.zeros(1, 1, 4, 4)), before=False)
    sigmas = torch.tensor([8.0, 3, 1, 0.5])
    controls = Controls(noise=no_noise, options=SamplerOptions(eta=0.0), unconditional=kept.unconditional)
    for step in sampler_named(label).run(kept, clean + noise * sigmas[0], sigmas, controls):
        torch.testing.assert_close(step.x, clean + noise * step.sigma, rtol=1e-5, atol=1e-5)
