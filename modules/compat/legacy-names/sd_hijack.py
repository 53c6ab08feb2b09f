"""A1111's `modules.sd_hijack`."""

from modules.compat.facade import compute
from modules.compat.hijack import Hijack as StableDiffusionModelHijack
from modules.compat.host import host as _host
from modules.compat.optimizers import list_optimizers

__all__ = ["StableDiffusionModelHijack", "apply_optimizations", "list_optimizers", "undo_optimizations"]

model_hijack = StableDiffusionModelHijack()


def apply_optimizations(option: object = None) -> str:
    """Compute attention in the way that an option names; returns its name."""
    return model_hijack.apply_optimizations(option)


def undo_optimizations() -> None:
    """Compute attention in the program's own way."""
    model_hijack.apply_optimizations("Automatic")


compute(__name__, {"optimizers": list_optimizers, "current_optimizer": lambda: _host().optimizer})
