"""Conditions as tensors, or as dictionaries of them for networks that are told more: joined, cut, lengthened."""

from collections.abc import Sequence
from typing import Any

TOKENS = "crossattn"
"""Name of the encoded texts in a dictionary."""


def catenate_conds(conds: Sequence[Any]) -> Any:
    """Put the rows of several behind each other."""
    import torch

    if isinstance(conds[0], dict):
        return {name: torch.cat([one[name] for one in conds]) for name in conds[0]}
    return torch.cat(list(conds))


def subscript_cond(cond: Any, a: int, b: int) -> Any:
    """Return some of the rows."""
    return {name: value[a:b] for name, value in cond.items()} if isinstance(cond, dict) else cond[a:b]


def pad_cond(tensor: Any, repeats: int, empty: Any) -> Any:
    """Lengthen texts [B, L, D] by empty chunks [1, 77, D]; a dictionary is changed in place."""
    import torch

    if isinstance(tensor, dict):
        tensor[TOKENS] = pad_cond(tensor[TOKENS], repeats, empty)
        return tensor
    return torch.cat([tensor, empty.repeat(tensor.shape[0], repeats, 1)], dim=1)


def txt2img_image_conditioning(sd_model: Any, x: Any, width: int, height: int) -> Any:
    """Return what a network sees beside a latent [B, C, h, w] when there is no picture: nothing, [B, 5, 1, 1]."""
    return x.new_zeros(x.shape[0], 5, 1, 1)
