"""Layers that keep their weights in 8 bits and compute in the number format of what they are given.

Half the memory of half precision, for a conversion at each use. Biases and norms stay as they are.

Source: Micikevicius et al. 2022, arXiv:2209.05433 (E4M3 and E5M2).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.ops import Ops

FORMATS = (torch.float8_e4m3fn, torch.float8_e5m2)
FORMAT = torch.float8_e4m3fn
"""What other weights are rounded to."""


class StoredLinear(nn.Linear):
    """A linear layer whose weight may be in 8 bits."""

    weight_scale: Tensor | None
    """What the values are to be multiplied by: one number, or one for each row."""
    half_weight: Tensor | None
    """The weight before it was rounded, float16 in main memory, where that was asked for."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.register_buffer("weight_scale", None, persistent=False)
        self.half_weight = None

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return F.linear(input, computed_weight(self, input.dtype), _cast(self.bias, input.dtype))


class StoredConv2d(nn.Conv2d):
    """A convolution whose weight may be in 8 bits."""

    weight_scale: Tensor | None
    half_weight: Tensor | None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.register_buffer("weight_scale", None, persistent=False)
        self.half_weight = None

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C out, h out, w out]."""
        return self._conv_forward(input, computed_weight(self, input.dtype), _cast(self.bias, input.dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """How the weights of a network are kept."""

    round_all: bool = False
    """Round weights that come in another format; otherwise only those keep 8 bits that have no more."""
    keep_half: bool = False
    """Remember in main memory what was rounded, for patches that are added to it."""


def stored_ops(ops: Ops) -> Ops:
    """Return layer classes that keep 8-bit weights; norms and embeddings are those given."""
    return Ops(
        Linear=StoredLinear,
        Conv2d=StoredConv2d,
        GroupNorm=ops.GroupNorm,
        LayerNorm=ops.LayerNorm,
        Embedding=ops.Embedding,
    )


def computed_weight(layer: StoredLinear | StoredConv2d, dtype: torch.dtype) -> Tensor:
    """Return a layer's weight in the number format it computes in."""
    if layer.weight_scale is None:
        return _cast(layer.weight, dtype)
    return scaled(layer.weight, layer.weight_scale).to(dtype)


def full_weight(layer: StoredLinear | StoredConv2d, weight: Tensor) -> Tensor:
    """Return a layer's 8-bit weight as exactly as it is known, float16 or float32: what patches are added to."""
    if layer.half_weight is not None:
        return layer.half_weight
    return weight.to(torch.float16) if layer.weight_scale is None else scaled(weight, layer.weight_scale)


def rounded(layer: StoredLinear | StoredConv2d, weight: Tensor, dtype: torch.dtype = FORMAT) -> Tensor:
    """Return a full weight in the 8 bits that a layer keeps."""
    if layer.weight_scale is not None:
        weight = weight.float() / layer.weight_scale.to(weight.device).reshape(-1, *[1] * (weight.ndim - 1))
    largest = torch.finfo(dtype).max
    return weight.clamp(-largest, largest).to(dtype)  # what is too large would be no number


def put_weight(layer: StoredLinear | StoredConv2d, weight: Tensor, scale: Tensor | None, storing: Storing) -> Tensor:
    """Prepare a weight for a layer, scale and copy included, and return it in the format it is to be kept in.

    Args:
        layer: its `weight_scale` and `half_weight` are set.
        weight: as a file has it.
        scale: what its 8-bit values are to be multiplied by.
        storing: how weights are kept.
    """
    if weight.dtype in FORMATS:
        layer.weight_scale = None if scale is None else scale.float()
        return weight
    if not storing.round_all:
        return weight
    half = weight.to(torch.float16)
    layer.half_weight = half.cpu() if storing.keep_half else None
    return rounded(layer, half)


def scaled(weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply 8-bit values by the scale of the whole tensor or of its rows: float32."""
    return weight.float() * scale.float().reshape(-1, *[1] * (weight.ndim - 1))


def _cast(tensor: Any, dtype: torch.dtype) -> Any:
    return tensor if tensor is None or tensor.dtype is dtype else tensor.to(dtype)
