"""`k_diffusion.sampling`. What extensions assign here can be named as a sampler's function."""

import torch
from tqdm.auto import trange

from k_diffusion import utils
from modules.compat.k_diffusion import (
    BrownianTreeNoiseSampler,
    append_zero,
    default_noise_sampler,
    get_ancestral_step,
    get_sigmas_exponential,
    get_sigmas_karras,
    get_sigmas_polyexponential,
    get_sigmas_vp,
    sampling_functions,
    to_d,
)

__all__ = [
    "BrownianTreeNoiseSampler", "append_zero", "default_noise_sampler", "get_ancestral_step", "get_sigmas_exponential",
    "get_sigmas_karras", "get_sigmas_polyexponential", "get_sigmas_vp", "to_d", "torch", "trange", "utils",
]  # fmt: skip

globals().update(sampling_functions())
