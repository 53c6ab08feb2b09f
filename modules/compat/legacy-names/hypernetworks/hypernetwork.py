"""A1111's `modules.hypernetworks.hypernetwork`."""

from modules.compat.hypernetworks import Hypernetwork, apply_hypernetworks, list_hypernetworks

__all__ = ["Hypernetwork", "apply_hypernetworks", "list_hypernetworks"]
