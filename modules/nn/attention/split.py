"""Exact attention over slices of the queries, each small enough for a memory budget."""

import torch
from torch import Tensor

from modules.nn.attention.backend import Backend
from modules.nn.attention.plain import attend as plain_attend

DEFAULT_BUDGET = 512 * 2**20
"""Bytes the matrix of one slice may take."""


def attend(q: Tensor, k: Tensor, v: Tensor, *, budget: int = DEFAULT_BUDGET) -> Tensor:
    """[B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d].

    Args:
        budget: bytes that the scores of one slice may take; a single query is always served.
    """
    batch, heads, length, _ = q.shape
    row = batch * heads * k.shape[2] * q.element_size()
    rows = max(1, budget // max(1, row))
    if rows >= length:
        return plain_attend(q, k, v)
    return torch.cat([plain_attend(part, k, v) for part in q.split(rows, dim=2)], dim=2)


def split(budget: int = DEFAULT_BUDGET) -> Backend:
    """Return the backend that keeps to a budget in bytes."""
    return Backend(name="split", attend=lambda q, k, v: attend(q, k, v, budget=budget))
