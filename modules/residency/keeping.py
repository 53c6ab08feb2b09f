"""Which of the loaded models stay in memory, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from modules.settings.snapshot import Snapshot

SHARE = 0.6
"""Of the memory that would be free without any model, what models may take; the rest is for pictures and other
programs."""
WORKING_BYTES = 1 << 30
"""Of the device's memory, what is left for computing when weights are placed."""

KEYS = frozenset(
    {
        "sd_checkpoints_automatic",
        "sd_checkpoints_limit",
        "sd_checkpoints_keep_in_cpu",
        "sd_checkpoint_cache",
        "sd_vae_checkpoint_cache",
    }
)
"""The settings that decide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How many models stay loaded. The numbers count the model in use."""

    models: int = 1
    """Stay in memory, wherever, as long as there is any."""
    on_device: int = 1
    """Of these, stay on the device."""
    vaes: int = 0
    """VAEs that stay in memory beside the one that is in use."""
    automatic: bool = True
    """Keep more than that as long as they take no more than `SHARE` of the memory."""

    @classmethod
    def chosen(cls, settings: Snapshot) -> Self:
        """Read the settings, which are A1111's but for the automatic way."""
        sd = settings.sd
        return cls(
            models=max(sd.sd_checkpoints_limit, sd.sd_checkpoint_cache),
            on_device=1 if sd.sd_checkpoints_keep_in_cpu else sd.sd_checkpoints_limit,
            vaes=settings.vae.sd_vae_checkpoint_cache,
            automatic=sd.sd_checkpoints_automatic,
        )

    def num_staying(self, sizes: Sequence[int], free: int, *, at_least: int, working_bytes: int = 0) -> int:
        """Return how many models stay in one kind of memory.

        Args:
            sizes: bytes of those that are there or are to be there, the last used first.
            free: bytes that are free beside those that are there.
            at_least: so many stay in any case.
            working_bytes: are not for models.
        """
        everything = free + sum(sizes)
        budget = min(SHARE * everything, everything - working_bytes) if self.automatic else 0
        total = 0
        for count, size in enumerate(sizes):
            total += size
            if count >= at_least and total > budget:
                return count
        return len(sizes)


def fits(needed: int, free: int) -> bool:
    """Tell whether weights can be on the device and leave room for computing."""
    return needed + WORKING_BYTES <= free
