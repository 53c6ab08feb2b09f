"""A1111's `modules.sd_samplers_kdiffusion`."""

from modules.compat.facade import compute
from modules.compat.samplers import CFGDenoiser, CFGDenoiserKDiffusion, KDiffusionSampler, extra_params, sampler_list

__all__ = ["CFGDenoiser", "CFGDenoiserKDiffusion", "KDiffusionSampler", "sampler_extra_params"]

sampler_extra_params = extra_params()
compute(
    __name__,
    {
        "samplers_data_k_diffusion": sampler_list,
        "samplers_k_diffusion": lambda: [
            (one.name, one.constructor, list(one.aliases), one.options) for one in sampler_list()
        ],
    },
)
