"""`k_diffusion.external`: networks that are asked by noise level."""

from modules.compat.k_denoisers import CompVisDenoiser, CompVisVDenoiser, DiscreteSchedule

__all__ = ["CompVisDenoiser", "CompVisVDenoiser", "DiscreteSchedule"]
