"""`sgm.modules`."""

from modules.compat.networks_text import GeneralConditioner

__all__ = ["GeneralConditioner"]
