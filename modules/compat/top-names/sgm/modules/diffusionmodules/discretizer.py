"""`sgm.modules.diffusionmodules.discretizer`."""

from modules.compat.networks_parts import LegacyDDPMDiscretization

__all__ = ["LegacyDDPMDiscretization"]
