"""A1111's `modules.timer`."""

from modules.compat.meters import Timer, TimerSubcategory

__all__ = ["Timer", "TimerSubcategory"]
startup_timer = Timer()
startup_record = None
