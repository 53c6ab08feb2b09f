"""Exact attention in chunks of queries and keys, so that memory grows with the square root of the work.

Source: Rabe & Staats 2021, arXiv:2112.05682; the running maximum follows Milakov & Gimelshein 2018, arXiv:1805.02867.
"""

import math

import torch
from torch import Tensor

from modules.nn.attention.backend import Backend

QUERY_CHUNK = 1024


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    query_chunk: int = QUERY_CHUNK,
    kv_chunk: int | None = None,
    whole_bytes: int = 0,
) -> Tensor:
    """[B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d].

    Args:
        query_chunk: queries served at a time, at least 1.
        kv_chunk: keys looked at at a time, at least 1; None takes the square root of S, as the paper does.
        whole_bytes: keys are not cut while all scores together take no more memory than this.
    """
    scores_bytes = q.shape[:-1].numel() * k.shape[2] * q.element_size()
    if scores_bytes <= whole_bytes:
        query_chunk, kv_chunk = q.shape[2], k.shape[2]
    size = kv_chunk or max(1, math.isqrt(k.shape[2]))
    keys, values = k.split(size, dim=2), v.split(size, dim=2)
    scale = q.shape[-1] ** -0.5
    return torch.cat([_attend_chunk(part * scale, keys, values) for part in q.split(query_chunk, dim=2)], dim=2)


def _attend_chunk(q: Tensor, keys: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> Tensor:
    """Fold the key chunks into one softmax: sums are rescaled whenever a larger score turns up."""
    peak = q.new_full((*q.shape[:-1], 1), -math.inf)  # [B, heads, l, 1]
    weight = torch.zeros_like(peak)
    total = q.new_zeros((*q.shape[:-1], values[0].shape[-1]))  # [B, heads, l, d]
    for k, v in zip(keys, values, strict=True):
        scores = q @ k.transpose(-1, -2)
        higher = torch.maximum(peak, scores.amax(dim=-1, keepdim=True))
        shrink = (peak - higher).exp()
        scores = (scores - higher).exp()
        weight = weight * shrink + scores.sum(dim=-1, keepdim=True)
        total = total * shrink + scores @ v
        peak = higher
    return total / weight


def subquadratic(query_chunk: int = QUERY_CHUNK, kv_chunk: int | None = None, whole_bytes: int = 0) -> Backend:
    """Return the backend with these chunk sizes."""
    return Backend(
        name="sub-quadratic",
        attend=lambda q, k, v: attend(q, k, v, query_chunk=query_chunk, kv_chunk=kv_chunk, whole_bytes=whole_bytes),
    )
