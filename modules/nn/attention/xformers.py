"""The kernels of the xformers package, an optional dependency that is only looked for when asked for."""

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from modules.nn.attention.backend import AttentionSpec, Backend


@cache
def _kernels() -> Any:
    return importlib.import_module("xformers.ops")


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d]."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # xformers keeps heads after tokens
    return _kernels().memory_efficient_attention(q, k, v).transpose(1, 2)


def reasons_against(spec: AttentionSpec) -> list[str]:
    """Try the package: import it, then run the smallest call on the device it would serve."""
    if spec.device.type != "cuda":
        return [f"xformers: has no kernels for {spec.device.type}"]
    try:
        _kernels()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return [f"xformers: not usable ({error})"]
    try:
        probe = torch.zeros(1, 1, 1, spec.head_dim or 40, device=spec.device, dtype=spec.dtype)
        attend(probe, probe, probe)
    except (NotImplementedError, RuntimeError, AttributeError) as error:
        return [f"xformers: its kernels do not load ({str(error).splitlines()[0]})"]
    return []


XFORMERS = Backend(name="xformers", attend=attend, objections=reasons_against, wide_scores=True)
