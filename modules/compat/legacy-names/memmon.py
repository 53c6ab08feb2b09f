"""A1111's `modules.memmon`."""

from modules.compat.meters import MemUsageMonitor

__all__ = ["MemUsageMonitor"]
