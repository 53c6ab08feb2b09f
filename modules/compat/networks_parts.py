"""`ldm.modules.diffusionmodules.util` and `ldm.util`: small functions that extensions build networks with."""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from inspect import isfunction
from typing import Any

import torch
from torch import Tensor, nn

from modules.nn import blocks

GROUPS = 32


def exists(x: Any) -> bool:
    """Tell whether something is not None."""
    return x is not None


def default(val: Any, d: Any) -> Any:
    """Return a value, or what stands for it when it is None; functions are called for it."""
    if val is not None:
        return val
    return d() if isfunction(d) else d


def timestep_embedding(timesteps: Tensor, dim: int, max_period: float = 10000, repeat_only: bool = False) -> Tensor:
    """Embed timesteps [B] as cosines followed by sines, [B, dim]; or only repeat them."""
    if repeat_only:
        return timesteps[:, None].expand(-1, dim)
    return blocks.timestep_embedding(timesteps, dim, float(max_period))


def conv_nd(dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    """Make a convolution of one, two or three dimensions."""
    return {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims](*args, **kwargs)


def avg_pool_nd(dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    """Make a layer that averages over one, two or three dimensions."""
    return {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims](*args, **kwargs)


def linear(*args: Any, **kwargs: Any) -> nn.Linear:
    """Make a linear layer."""
    return nn.Linear(*args, **kwargs)


class GroupNorm32(nn.GroupNorm):
    """A norm over groups that computes in single precision."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same."""
        weight = self.weight.float() if self.affine else None
        bias = self.bias.float() if self.affine else None
        return nn.functional.group_norm(input.float(), self.num_groups, weight, bias, self.eps).to(input.dtype)


def normalization(channels: int, num_groups: int = GROUPS) -> nn.Module:
    """Make the norm of a residual block."""
    return GroupNorm32(num_groups, channels)


def checkpoint(func: Callable[..., Any], inputs: Sequence[Any], params: Any, flag: bool) -> Any:
    """Call a function; intermediate results are not kept for training."""
    return func(*inputs)


def mean_flat(tensor: Tensor) -> Tensor:
    """Average over all but the first axis."""
    return tensor.mean(dim=list(range(1, tensor.ndim)))


def make_beta_schedule(
    schedule: str, n_timestep: int, linear_start: float = 1e-4, linear_end: float = 2e-2, cosine_s: float = 8e-3
) -> Any:
    """Return how much noise each timestep of training adds, [n] as a numpy array.

    Source: Ho et al. 2020, arXiv:2006.11239, section 4 (sqrt_linear); Nichol and Dhariwal 2021, arXiv:2102.09672,
    equation 17 (cosine); Rombach et al. 2022, arXiv:2112.10752 (linear, evenly spaced square roots).

    Raises:
        ValueError: no such schedule is known.
    """
    match schedule:
        case "linear":
            roots = torch.linspace(linear_start**0.5, linear_end**0.5, n_timestep, dtype=torch.float64)
            return (roots**2).numpy()
        case "cosine":
            t = torch.arange(n_timestep + 1, dtype=torch.float64) / n_timestep
            alphas = torch.cos((t + cosine_s) / (1 + cosine_s) * math.pi / 2) ** 2
            return (1 - alphas[1:] / alphas[:-1]).clamp(0, 0.999).numpy()
        case "sqrt_linear" | "sqrt":
            betas = torch.linspace(linear_start, linear_end, n_timestep, dtype=torch.float64)
            return (betas if schedule == "sqrt_linear" else betas**0.5).numpy()
        case _:
            raise ValueError(f"there is no schedule {schedule!r} of betas")


def make_ddim_timesteps(
    ddim_discr_method: str, num_ddim_timesteps: int, num_ddpm_timesteps: int, verbose: bool = True
) -> Any:
    """Return the timesteps that DDIM visits, rising, counted from one, as a numpy array.

    Source: Song et al. 2020, arXiv:2010.02502, appendix D.2.

    Raises:
        ValueError: no such spacing is known.
    """
    import numpy as np

    if ddim_discr_method == "uniform":
        return np.arange(0, num_ddpm_timesteps, num_ddpm_timesteps // num_ddim_timesteps) + 1
    if ddim_discr_method == "quad":
        return (np.linspace(0, (num_ddpm_timesteps * 0.8) ** 0.5, num_ddim_timesteps) ** 2).astype(int) + 1
    raise ValueError(f"there is no spacing {ddim_discr_method!r} of timesteps")


def make_ddim_sampling_parameters(
    alphacums: Any, ddim_timesteps: Any, eta: float, verbose: bool = True
) -> tuple[Any, Any, Any]:
    """Return the noise to add at each of DDIM's timesteps, and the cumulative alphas there and one before.

    Source: Song et al. 2020, arXiv:2010.02502, equation 16.
    """
    import numpy as np

    now = np.asarray(alphacums)[ddim_timesteps]
    before = np.concatenate([np.asarray(alphacums)[:1], now[:-1]])
    return eta * np.sqrt((1 - before) / (1 - now) * (1 - now / before)), now, before


def extract_into_tensor(a: Tensor, t: Tensor, x_shape: Sequence[int]) -> Tensor:
    """Return the entries of a table [N] at t [B], shaped to be multiplied with tensors of B rows."""
    return a.gather(-1, t.to(a.device)).reshape(-1, *[1] * (len(x_shape) - 1)).to(t.device)


def noise_like(shape: Sequence[int], device: Any, repeat: bool = False) -> Tensor:
    """Draw noise, the same for all rows if wanted."""
    rows = torch.randn((1 if repeat else shape[0], *shape[1:]), device=device)
    return rows.expand(*shape).clone() if repeat else rows


def get_obj_from_str(string: str, reload: bool = False, invalidate_cache: bool = True) -> Any:
    """Return what a dotted name stands for.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is no such name in it.
    """
    module, _, name = string.rpartition(".")
    return getattr(importlib.import_module(module), name)


def instantiate_from_config(config: Mapping[str, Any], **more: Any) -> Any:
    """Make what `target` names with the arguments `params`.

    Raises:
        KeyError: there is no `target`.
    """
    return get_obj_from_str(config["target"])(**dict(config.get("params") or {}), **more)


def count_params(model: nn.Module, verbose: bool = False) -> int:
    """Count the weights of a network."""
    return sum(weight.numel() for weight in model.parameters())


def ismap(x: Any) -> bool:
    """Tell whether something is a batch of maps of more than three channels."""
    return isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] > 3


def isimage(x: Any) -> bool:
    """Tell whether something is a batch of pictures."""
    return isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] in (1, 3)


def disabled_train(self: Any, mode: bool = True) -> Any:
    """Take the place of `train` where a network stays as it is."""
    return self


class LegacyDDPMDiscretization:
    """The noise levels of training, and some of them.

    Args:
        linear_start: first beta.
        linear_end: last beta.
        num_timesteps: of training.
    """

    def __init__(self, linear_start: float = 0.00085, linear_end: float = 0.0120, num_timesteps: int = 1000) -> None:
        self.num_timesteps = num_timesteps
        betas = torch.from_numpy(make_beta_schedule("linear", num_timesteps, linear_start, linear_end))
        self.alphas_cumprod = torch.cumprod(1 - betas, dim=0).numpy()

    def get_sigmas(self, n: int, device: Any = "cpu") -> Tensor:
        """Return n levels, falling, at evenly spaced timesteps.

        Raises:
            ValueError: there are not that many.
        """
        if not 0 < n <= self.num_timesteps:
            raise ValueError(f"{n} of {self.num_timesteps} timesteps")
        places = torch.linspace(self.num_timesteps - 1, 0, n + 1, dtype=torch.float64)[:-1].long()
        every = torch.arange(self.num_timesteps - 1, -1, -1)
        alphas = torch.from_numpy(self.alphas_cumprod)[every if n == self.num_timesteps else places]
        return ((1 - alphas) / alphas).sqrt().float().to(device)

    def __call__(self, n: int, do_append_zero: bool = True, device: Any = "cpu", flip: bool = False) -> Tensor:
        """Return n levels, falling unless flipped, with a zero behind them if wanted."""
        sigmas = self.get_sigmas(n, device)
        sigmas = torch.cat([sigmas, sigmas.new_zeros(1)]) if do_append_zero else sigmas
        return sigmas.flip(0) if flip else sigmas
