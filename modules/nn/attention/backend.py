"""What an attention implementation is: a function of q, k, v, and a word on what it cannot serve."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q [B, heads, L, d], k [B, heads, S, d], v [B, heads, S, d]) -> [B, heads, L, d]: softmax(q k^T / sqrt(d)) v."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """Where attention will run; what a backend looks at to say whether it can."""

    device: torch.device
    dtype: torch.dtype
    head_dim: int | None = None
    """Size of one head where it is known before the network is built."""


def no_objection(spec: AttentionSpec) -> list[str]:
    """Answer for backends made of plain torch operations: they run anywhere."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A named attention implementation; call it like `Attend`."""

    name: str
    attend: Attend
    objections: Callable[[AttentionSpec], list[str]] = no_objection
    wide_scores: bool = False
    """Whether scores are summed and weighed in float32 also for inputs in half precision, as fused kernels do."""

    def reasons_against(self, spec: AttentionSpec) -> list[str]:
        """Say why calls of this kind cannot be served; empty when they can."""
        return self.objections(spec)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: [B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d]."""
        return self.attend(q, k, v)
