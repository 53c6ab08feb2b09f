"""The formulas of merging, on pieces of tensors."""

from collections.abc import Iterable

import torch
from torch import Tensor

from modules.domain.merge import AS_STORED, BFLOAT16, FLOAT8, FLOAT16

NARROW = (torch.float8_e4m3fn, torch.float8_e5m2)
_VAE = "first_stage_model."


def weighted_sum(a: Tensor, b: Tensor, multiplier: float) -> Tensor:
    """Return `a * (1 - multiplier) + b * multiplier`; exactly `a` at 0 and exactly `b` at 1."""
    if multiplier == 0:
        return a
    return b if multiplier == 1 else a * (1 - multiplier) + b * multiplier


def add_difference(a: Tensor, b: Tensor, c: Tensor, multiplier: float) -> Tensor:
    """Return `a + (b - c) * multiplier`; exactly `a` at 0."""
    return a if multiplier == 0 else a + (b - c) * multiplier


def common_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """Return the smallest dtype that holds the values of all; torch itself has no answer for 8 bits."""
    first, *others = dict.fromkeys(dtypes)
    for other in others:
        narrow = [dtype for dtype in (first, other) if dtype in NARROW]
        if len(narrow) == 2:
            first = torch.float16
        elif narrow:
            first = other if first in NARROW else first
        else:
            first = torch.promote_types(first, other)
    return first


def working_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """Return the dtype of the arithmetic: float32, or float64 where a model has it."""
    return torch.float64 if torch.float64 in dtypes else torch.float32


def result_dtype(name: str, num_axes: int, stored: torch.dtype, precision: str) -> torch.dtype:
    """Return the dtype that a tensor is written in.

    Args:
        name: of the tensor.
        num_axes: of its shape.
        stored: what holds its values exactly.
        precision: of `modules.domain.merge.PRECISIONS`.
    """
    if precision == AS_STORED or not stored.is_floating_point:
        return stored
    if precision == FLOAT8:
        # Sums and products of whole layers pass through the small tensors and the VAE: 8 bits show there.
        return torch.float8_e4m3fn if num_axes > 1 and not name.startswith(_VAE) else torch.float16
    return {FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}[precision]


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values in another dtype; what is too large for a narrower one becomes its largest value."""
    if tensor.dtype == dtype or not dtype.is_floating_point:
        return tensor.to(dtype)
    limits = torch.finfo(dtype)
    if torch.finfo(tensor.dtype).max > limits.max:
        # Wide first: the limit of float16 is no number of bfloat16.
        tensor = tensor.to(working_dtype([tensor.dtype])).clamp(limits.min, limits.max)
    return tensor.to(dtype)
