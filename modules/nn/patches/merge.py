"""Weights with patches merged into them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modules.nn.patches.key_map import WHOLE
from modules.nn.patches.patch import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A patch on one weight. Uses of the same source, strength and share are equal."""

    patch: Patch = field(compare=False)
    source: Hashable
    """Says where the patch comes from; another one for other contents."""
    strength: float
    share: tuple[int, int] = WHOLE


def merged(weight: Tensor, uses: Sequence[Use], *, device: torch.device | None = None) -> Tensor:
    """Return a weight with patches merged in, in its type and layout, where it was computed.

    Arguments as for `summed`; the sum is rounded once.
    """
    value = summed(weight, uses, device=device)
    return torch.empty_like(weight, device=value.device).copy_(value)


def summed(weight: Tensor, uses: Sequence[Use], *, device: torch.device | None = None) -> Tensor:
    """Return a weight with patches merged in, one after the other, in float32.

    Args:
        weight: the original; it stays as it is.
        uses: in order; each sees the weight as those before it left it.
        device: where to compute; None for where the weight is.
    """
    value = weight.to(device or weight.device, torch.float32)
    for use in uses:
        which, of = use.share
        if of == 1:
            value = use.patch.apply(value, use.strength)
            continue
        parts = list(value.chunk(of))
        parts[which] = use.patch.apply(parts[which], use.strength)
        value = torch.cat(parts)
    return value
