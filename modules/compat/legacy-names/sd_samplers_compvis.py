"""A1111's `modules.sd_samplers_compvis`: the older name of what `sd_samplers_timesteps` holds."""

from modules.compat.networks_denoisers import CompVisSampler as VanillaStableDiffusionSampler

__all__ = ["VanillaStableDiffusionSampler"]
