"""`modules.sd_samplers_timesteps`: samplers and models that count timesteps instead of noise levels."""

from typing import Any

import torch
from torch import Tensor, nn

from modules.compat.samplers import CFGDenoiser, Sampler


class CompVisTimestepsDenoiser(nn.Module):
    """A model that predicts the noise, asked by timestep.

    Args:
        model: has `alphas_cumprod` and `apply_model`.
    """

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        # Set aside from the sub-modules: a model is not a part of what looks at it.
        vars(self)["inner_model"] = model

    def forward(self, input: Tensor, timesteps: Tensor, **kwargs: Any) -> Tensor:
        """Return the model's own output, [B, C, h, w]."""
        return vars(self)["inner_model"].apply_model(input, timesteps, **kwargs)


class CompVisTimestepsVDenoiser(CompVisTimestepsDenoiser):
    """A model that predicts velocities, asked by timestep for the noise."""

    def predict_eps_from_z_and_v(self, x_t: Tensor, t: Tensor, v: Tensor) -> Tensor:
        """Return the noise in a latent.

        Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.

        Args:
            x_t: [B, C, h, w], of variance one.
            t: [B]
            v: [B, C, h, w]
        """
        alphas = vars(self)["inner_model"].alphas_cumprod.to(x_t.device)[t.round().long()]
        alphas = alphas.to(x_t).view(-1, *[1] * (x_t.ndim - 1))
        return alphas.sqrt() * v + (1 - alphas).sqrt() * x_t

    def forward(self, input: Tensor, timesteps: Tensor, **kwargs: Any) -> Tensor:
        """Return the noise in a latent, [B, C, h, w]."""
        return self.predict_eps_from_z_and_v(input, timesteps, super().forward(input, timesteps, **kwargs))


class CFGDenoiserTimesteps(CFGDenoiser):
    """Guidance over timesteps."""

    def __init__(self, sampler: Any) -> None:
        super().__init__(sampler)
        self.alphas: Tensor | None = None

    def get_pred_x0(self, x_in: Tensor, x_out: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimate of the clean latent [B, C, h, w] for noise that was predicted at timesteps."""
        alphas = torch.as_tensor(self.inner_model.alphas_cumprod).to(x_in.device)[sigma.round().long()]
        alphas = alphas.to(x_in).view(-1, *[1] * (x_in.ndim - 1))
        return (x_in - (1 - alphas).sqrt() * x_out) / alphas.sqrt()


class CompVisSampler(Sampler):
    """A sampler over timesteps.

    Args:
        funcname: of its function, or the function.
        sd_model: the model.
    """

    def __init__(self, funcname: Any = None, sd_model: Any = None) -> None:
        super().__init__(funcname)
        self.eta_option_field, self.eta_infotext_field, self.eta_default = "eta_ddim", "Eta DDIM", 0.0
        self.model_wrap_cfg = CFGDenoiserTimesteps(self)
        self.model_wrap = CompVisTimestepsDenoiser(sd_model)

    def get_timesteps(self, p: Any, steps: int) -> Tensor:
        """Return the timesteps of a run, rising."""
        return torch.arange(0, 1000, 1000 // max(steps, 1)) + 1


def apply_refiner(cfg_denoiser: Any, sigma: Any = None) -> bool:
    """Tell whether the refiner was put in place at this step; the pipeline does so by itself, so never here."""
    return False
