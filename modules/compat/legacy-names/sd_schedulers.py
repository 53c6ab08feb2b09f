"""A1111's `modules.sd_schedulers`."""

from modules.compat.facade import compute
from modules.compat.samplers import Scheduler, scheduler_list

__all__ = ["Scheduler"]
compute(
    __name__,
    {
        "schedulers": scheduler_list,
        "schedulers_map": lambda: {
            text: one for one in scheduler_list() for text in (one.name, one.label, *(one.aliases or ()))
        },
    },
)
