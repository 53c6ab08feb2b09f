"""The layer classes a network is built from, handed to it instead of imported by it.

A cast, quantised or offloaded layer is another `Ops`; the network that uses it does not change.
"""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """One class per kind of layer, each with the constructor of its torch namesake."""

    Linear: type[nn.Linear] = nn.Linear
    Conv2d: type[nn.Conv2d] = nn.Conv2d
    GroupNorm: type[nn.GroupNorm] = nn.GroupNorm
    LayerNorm: type[nn.LayerNorm] = nn.LayerNorm
    Embedding: type[nn.Embedding] = nn.Embedding


PLAIN_OPS = Ops()
"""Torch's own layers. Built under `torch.device("meta")` they cost no memory and no initialisation."""
