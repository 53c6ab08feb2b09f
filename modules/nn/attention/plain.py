"""Attention as the formula says it, with the whole matrix in memory; what the others are measured against.

Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
"""

from torch import Tensor

from modules.nn.attention.backend import Backend


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d]."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # [B, heads, L, S]
    return scores.softmax(dim=-1) @ v


PLAIN = Backend(name="plain", attend=attend)
