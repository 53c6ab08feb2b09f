"""A1111's `modules.sd_schedulers`."""

from modules.compat.facade import compute
from modules.compat.schedules import (
    Scheduler,
    replace_scheduler_map,
    replace_schedulers,
    scheduler_list,
    scheduler_map,
    uniform,
)

__all__ = ["Scheduler", "uniform"]
compute(
    __name__,
    {
        "schedulers": (scheduler_list, replace_schedulers),
        "schedulers_map": (scheduler_map, replace_scheduler_map),
    },
)
