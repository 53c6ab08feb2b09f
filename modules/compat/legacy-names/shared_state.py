"""A1111's `modules.shared_state`."""

from modules.compat.state import State

__all__ = ["State"]
