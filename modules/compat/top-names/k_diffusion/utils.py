"""`k_diffusion.utils`."""

from modules.compat.k_diffusion import append_dims

__all__ = ["append_dims"]
