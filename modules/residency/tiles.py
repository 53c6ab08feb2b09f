"""Decode a large latent piece by piece when it does not fit at once."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

TILE = 48
"""Latent pixels per tile side."""
OVERLAP = 12
"""Latent pixels shared by neighbouring tiles; their pictures are cross-faded over it."""


def decode_in_tiles(
    decode: Callable[[Tensor], Tensor], x: Tensor, tile: int = TILE, overlap: int = OVERLAP, *, wrap: bool = False
) -> Tensor:
    """Decode overlapping tiles and blend them linearly.

    Differs from decoding at once near the seams, because group norms see one tile at a time.

    Args:
        decode: latent [B, C, h, w] -> picture [B, 3, s*h, s*w].
        x: [B, C, h, w].
        tile: side of a tile in latent pixels.
        overlap: how many of them neighbouring tiles share.
        wrap: let the picture continue at its opposite border, so that it repeats seamlessly.

    Returns:
        [B, 3, s*h, s*w], float32 on the CPU.
    """
    if wrap:
        return _wrapped(decode, x, tile, overlap)
    height, width = x.shape[-2:]
    parts = {
        (top, left): decode(x[..., top : top + tile, left : left + tile]).float().cpu()
        for top in _starts(height, tile, overlap)
        for left in _starts(width, tile, overlap)
    }
    first = parts[0, 0]
    scale = first.shape[-1] // min(tile, width)
    total = first.new_zeros(*first.shape[:2], height * scale, width * scale)
    weight = first.new_zeros(1, 1, height * scale, width * scale)
    for (top, left), part in parts.items():
        ramp = _ramp(part.shape[-2], overlap * scale)[:, None] * _ramp(part.shape[-1], overlap * scale)[None, :]
        rows = slice(top * scale, top * scale + part.shape[-2])
        columns = slice(left * scale, left * scale + part.shape[-1])
        total[..., rows, columns] += part * ramp
        weight[..., rows, columns] += ramp
    return total / weight


def _wrapped(decode: Callable[[Tensor], Tensor], x: Tensor, tile: int, overlap: int) -> Tensor:
    height, width = x.shape[-2:]
    margin = min(overlap, height, width)
    wider = decode_in_tiles(decode, F.pad(x, (margin,) * 4, mode="circular"), tile, overlap)
    scale = wider.shape[-1] // (width + 2 * margin)
    return wider[..., margin * scale : (margin + height) * scale, margin * scale : (margin + width) * scale]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    stops = range(0, length - tile, tile - overlap)
    return [*stops, length - tile]


def _ramp(length: int, overlap: int) -> Tensor:
    """Weights that rise over the overlap and fall again; never zero, so that picture edges keep a weight."""
    distance = torch.arange(1, length + 1, dtype=torch.float32)
    rising = distance / (overlap + 1)
    return torch.minimum(rising, rising.flip(0)).clamp(max=1.0)
