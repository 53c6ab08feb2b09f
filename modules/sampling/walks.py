"""One walk of a sampler as whoever is around it sees it: what it starts from, and what carries it out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor

from modules.sampling.noise import ImageNoise
from modules.sampling.types import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """What a walk starts from. Its size is that of the latent, or of the noise where there is none."""

    noise: ImageNoise
    """Of the pictures; nothing was drawn from it yet. See also `GivenNoise`."""
    positives: tuple[tuple[Timeline, ...], ...]
    """For each picture the parts of its prompt that are joined by AND."""
    negatives: tuple[Timeline, ...]
    """One for each picture."""
    sampler: str
    """Label of the sampler."""
    steps: int
    cfg_scale: float
    latent: Tensor | None = None
    """[B, C, h, w]: the clean latent that noise is added to; None starts from noise alone."""
    strength: float = 1.0
    """Share of the schedule that runs on a latent, 0 .. 1."""
    fix_steps: bool = False
    """Run all steps on a latent, on a longer schedule, instead of a part of them."""
    noise_multiplier: float = 1.0
    """Of the noise that is added to a latent."""
    extras: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    """What the network is told of the pictures besides, each [B, ...]."""
    needs_negative: bool = False
    """Ask for the negative prompt also where guidance would not use it."""


Walk = Callable[[Start], Tensor]
"""Walks to the end, or to where the job is asked to end; returns the latent [B, C, h, w]."""
