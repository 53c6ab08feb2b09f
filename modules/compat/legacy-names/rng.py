"""A1111's `modules.rng`."""

from modules.compat.noise import ImageRNG, create_generator, randn, slerp

__all__ = ["ImageRNG", "create_generator", "randn", "slerp"]
