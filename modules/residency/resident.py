"""What is told of a model in memory; light enough for rooms that must start without torch."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path


class Where(Enum):
    """Where the weights of a model lie while nobody uses it."""

    DEVICE = "device"
    """On the device that computes."""
    RAM = "ram"
    """In main memory beside a graphics card: kept for later, or moved over part by part while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A model in memory."""

    name: str
    """The checkpoint's, as lists show it."""
    checkpoint: Path
    vae: Path | None
    """A VAE's own file, where one takes the place of the checkpoint's."""
    num_bytes: int
    """Of all its weights, in the number formats they are held in."""
    where: Where
    since: datetime
    """When it was loaded, UTC."""
    in_use: bool
    """Whether a job works with it now."""
