"""Networks that extensions offer in the place of a checkpoint's own, and which of them a run uses."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from modules.domain.plan import Note, ResolvedModel
from modules.sampling.types import Network

AUTOMATIC, OWN = "Automatic", "None"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OfferedUnet:
    """One network that may denoise instead of the one in the checkpoint."""

    label: str
    open: Callable[[], AbstractContextManager[Network]]
    """Lends the network for a pass; it gets what the checkpoint's own would get, and answers in the same way."""
    checkpoint: str = ""
    """Name of the checkpoint, without its ending, that it is made for; Automatic takes it there."""


def unet_for(offered: Sequence[OfferedUnet], wanted: str, model: ResolvedModel) -> OfferedUnet | None:
    """Choose a network; None for the checkpoint's own.

    Args:
        offered: what there is.
        wanted: the setting: a label, Automatic or None.
        model: the files in use.
    """
    if wanted == AUTOMATIC:
        names = {model.name, Path(model.name).stem, model.checkpoint.stem}
        return next((one for one in offered if one.checkpoint and one.checkpoint in names), None)
    return next((one for one in offered if one.label == wanted), None)


def missing_unet(offered: Sequence[OfferedUnet], wanted: str) -> list[Note]:
    """Tell when a network that the settings want is not there."""
    if wanted in (AUTOMATIC, OWN, "") or any(one.label == wanted for one in offered):
        return []
    return [Note(text=f"SD Unet {wanted[:100]!r} not found, the checkpoint's own network is used")]
