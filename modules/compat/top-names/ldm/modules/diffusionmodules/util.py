"""`ldm.modules.diffusionmodules.util`."""

from modules.compat.networks_layers import zero_module
from modules.compat.networks_parts import (
    GroupNorm32,
    avg_pool_nd,
    checkpoint,
    conv_nd,
    extract_into_tensor,
    get_obj_from_str,
    instantiate_from_config,
    linear,
    make_beta_schedule,
    make_ddim_sampling_parameters,
    make_ddim_timesteps,
    mean_flat,
    noise_like,
    normalization,
    timestep_embedding,
)

__all__ = [
    "GroupNorm32", "avg_pool_nd", "checkpoint", "conv_nd", "extract_into_tensor", "get_obj_from_str",
    "instantiate_from_config", "linear", "make_beta_schedule", "make_ddim_sampling_parameters", "make_ddim_timesteps",
    "mean_flat", "noise_like", "normalization", "timestep_embedding", "zero_module",
]  # fmt: skip
