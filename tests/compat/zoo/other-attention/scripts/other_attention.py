"""Brings a way to compute attention."""

from modules import script_callbacks
from modules.sd_hijack_optimizations import SdOptimization

SEEN = []


class Slow(SdOptimization):
    name = "slow"
    label = "one after the other"
    priority = 5

    def apply(self):
        SEEN.append("apply")

    def undo(self):
        SEEN.append("undo")


class Never(SdOptimization):
    name = "never"
    priority = 100

    def is_available(self):
        return False


def add(found):
    found.append(Never())
    found.append(Slow())


script_callbacks.on_list_optimizers(add)
