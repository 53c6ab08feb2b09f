"""A1111's `modules.sd_samplers_timesteps`."""

from modules.compat.facade import compute
from modules.compat.networks_denoisers import (
    CFGDenoiserTimesteps,
    CompVisSampler,
    CompVisTimestepsDenoiser,
    CompVisTimestepsVDenoiser,
)
from modules.compat.samplers import sampler_list
from modules.sampling.catalogue import SAMPLERS as _SAMPLERS

__all__ = ["CFGDenoiserTimesteps", "CompVisSampler", "CompVisTimestepsDenoiser", "CompVisTimestepsVDenoiser"]

_TIMESTEPS = frozenset(one.label for one in _SAMPLERS if one.timesteps)

compute(
    __name__,
    {"samplers_data_timesteps": lambda: [one for one in sampler_list() if one.name in _TIMESTEPS]},
)
