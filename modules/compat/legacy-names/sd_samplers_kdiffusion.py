"""A1111's `modules.sd_samplers_kdiffusion`."""

from modules.compat.facade import compute
from modules.compat.samplers import CFGDenoiser, CFGDenoiserKDiffusion, KDiffusionSampler, sampler_list

__all__ = ["CFGDenoiser", "CFGDenoiserKDiffusion", "KDiffusionSampler"]
compute(__name__, {"samplers_data_k_diffusion": sampler_list})
