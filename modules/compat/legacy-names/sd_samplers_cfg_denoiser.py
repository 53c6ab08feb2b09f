"""A1111's `modules.sd_samplers_cfg_denoiser`."""

from modules.compat.samplers import CFGDenoiser

__all__ = ["CFGDenoiser"]
