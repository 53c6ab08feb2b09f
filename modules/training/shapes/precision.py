"""In what number type the networks compute while they train."""

import torch
from torch import Tensor

from modules.nn.attention import sdpa


def mixed_precision(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device multiplies matrices of it: GPUs, and processors with AMX."""
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend as the product does; in float32 on a processor, where the way back in bfloat16 takes five times as long."""
    if q.device.type != "cpu":
        return sdpa.attend(q, k, v)
    with torch.autocast("cpu", enabled=False):
        return sdpa.attend(q.float(), k.float(), v.float()).to(q.dtype)
