"""`modules.sd_hijack_optimizations` and `modules.sd_hijack_unet`: attention, and functions of torch, that extensions call."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from modules.compat.host import facade
from modules.nn.attention import subquadratic

SHARE = 0.7
"""Of the free memory that all scores together may take, unless the caller says otherwise."""


def get_available_vram() -> int:
    """Return the free bytes of the device."""
    free, _ = facade("shared").mem_mon.cuda_mem_get_info()
    return int(free)


def get_xformers_flash_attention_op(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Return which of xformers' kernels to use: whichever it chooses."""


def sub_quad_attention(
    q: Tensor, k: Tensor, v: Tensor, q_chunk_size: int = 1024, kv_chunk_size: int | None = None,
    kv_chunk_size_min: int | None = None, chunk_threshold: int | None = None, use_checkpoint: bool = True,
) -> Tensor:  # fmt: skip
    """Attend in chunks: [B, L, d], [B, S, d], [B, S, d] -> [B, L, d].

    Args:
        q_chunk_size: queries at a time.
        kv_chunk_size: keys at a time; None for the square root of their number.
        kv_chunk_size_min: at least that many keys at a time; 0 and None for no bound.
        chunk_threshold: percent of the free memory below which keys are not cut; None for seventy, 0 cuts always.
        use_checkpoint: of training; nothing is trained here.
    """
    share = SHARE if chunk_threshold is None else chunk_threshold / 100
    chunk = kv_chunk_size
    if kv_chunk_size_min:
        chunk = max(kv_chunk_size_min, kv_chunk_size or int(k.shape[1] ** 0.5))
    made = subquadratic.attend(
        q[:, None], k[:, None], v[:, None], query_chunk=q_chunk_size, kv_chunk=chunk,
        whole_bytes=int(share * get_available_vram()) if share else 0,
    )  # fmt: skip
    return made[:, 0]


class TorchView(SimpleNamespace):
    """Torch, as one module of A1111 saw it: extensions replace functions here instead of everywhere.

    Networks of this program look at torch itself. What replaces `cat` also joins the levels of a UNet; any other
    replacement is heard of by whoever calls it here.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "cat":
            from modules.compat.networks_told import join_by

            join_by(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)
