"""Ways to compute attention that extensions bring: `SdOptimization`, and which of them is in use."""

import logging
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import host

logger = logging.getLogger(__name__)


class SdOptimization:
    """A way to compute attention. `apply` puts it in the place of what is there, `undo` takes it back."""

    name: str | None = None
    label: str | None = None
    cmd_opt: str | None = None
    priority = 0

    def title(self) -> str:
        """Return what the setting calls it."""
        return str(self.name) if self.label is None else f"{self.name} - {self.label}"

    def is_available(self) -> bool:
        """Tell whether it can run here."""
        return True

    def apply(self) -> None:
        """Put it into use."""

    def undo(self) -> None:
        """Take it out of use; the program's own way comes back."""


def list_optimizers() -> list[Any]:
    """Ask extensions for their ways; those that can run here, the preferred ones first."""
    found: list[Any] = []
    host().callbacks.call("list_optimizers", found)
    known: list[Any] = []
    for one in found:
        with guarded(f"{type(one).__name__}: is_available"):
            known += [one] if one.is_available() else []
    return sorted(known, key=lambda one: -int(getattr(one, "priority", 0)))


def optimizer_titles() -> list[str]:
    """Return what the setting may say besides the program's own ways."""
    return [str(one.title()) for one in list_optimizers()] if host().callbacks.has("list_optimizers") else []


def _title(one: Any) -> str | None:
    return None if one is None else str(one.title())


def follow(option: Any) -> str | None:
    """Put the way into use that an option names; one of an extension that was in use before is taken back.

    Args:
        option: what the setting says, or a way itself.

    Returns:
        The name of the way of an extension, None for the program's own.
    """
    bound = host()
    if bound.optimizer is None and not bound.callbacks.has("list_optimizers"):
        return None
    wanted = next((one for one in list_optimizers() if option in (one, one.title(), one.name)), None)
    current = bound.optimizer
    if _title(current) != _title(wanted):
        if current is not None:
            with guarded(f"{type(current).__name__}: undo"):
                current.undo()
        bound.optimizer = None
        if wanted is not None:
            with guarded(f"{type(wanted).__name__}: apply"):
                wanted.apply()
                bound.optimizer = wanted
    return str(bound.optimizer.name) if bound.optimizer is not None else None


def cross_attention_optimizations() -> list[str]:
    """Return everything that the setting may say."""
    from modules.nn.attention.select import LABELS

    own = [one for one in LABELS if one != "None"]
    return [*own, *optimizer_titles(), "None"]
