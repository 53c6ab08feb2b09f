"""A1111's `modules.sd_samplers_cfg_denoiser`."""

from modules.compat.conds import catenate_conds, pad_cond, subscript_cond
from modules.compat.samplers import CFGDenoiser

__all__ = ["CFGDenoiser", "catenate_conds", "pad_cond", "subscript_cond"]
