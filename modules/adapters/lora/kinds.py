"""From the tensors of one layer to the patches of its weight and its bias."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.nn.patches.decomposed import Decomposed
from modules.nn.patches.low_rank import Generalised, Hadamard, Kronecker, LowRank
from modules.nn.patches.patch import Patch
from modules.nn.patches.rotations import Butterfly, Rotation
from modules.nn.patches.whole import Corrected, Difference, Replacement, Rescaling

Tensors = Mapping[str, Tensor]
"""Role -> tensor, as `names.parse` names roles."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerPatches:
    """What a file does to one layer."""

    weight: Patch | None = None
    bias: Patch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A scale that is told beside the tensors."""

    alpha: float
    by_root: bool = False
    """Divide by the square root of the rank instead of the rank."""

    def scale(self, rank: int) -> float:
        """Return what products of a rank are multiplied by."""
        return self.alpha / (math.sqrt(rank) if self.by_root else rank)


def layer_patches(tensors: Tensors, stated: Stated | None = None) -> LayerPatches:
    """Make the patches of a layer.

    Args:
        tensors: of the layer.
        stated: scale of a low-rank layer that brings none.

    Raises:
        KeyError: a tensor is missing that belongs to another one.
        ValueError: the tensors make no known kind of patch.
    """
    if stated is not None and "down" in tensors and not {"alpha", "scale"} & tensors.keys():
        tensors = {**tensors, "scale": torch.tensor(stated.scale(tensors["down"].shape[0]))}
    weight = _weight(tensors)
    if weight is not None and "bias_values" in tensors:
        weight = Corrected(inner=weight, values=_sparse(tensors), scale=_scale(tensors, None))
    if weight is not None and "dora_scale" in tensors:
        weight = Decomposed(inner=weight, magnitude=tensors["dora_scale"])
    bias = _bias(tensors)
    if weight is None and bias is None:
        raise ValueError(f"no known kind of patch has {', '.join(sorted(tensors))}")
    return LayerPatches(weight=weight, bias=bias)


def _weight(tensors: Tensors) -> Patch | None:
    made = (make(tensors) for make in (_low_rank, _hadamard, _kronecker, _generalised, _turned, _rescaling, _whole))
    return next((patch for patch in made if patch is not None), None)


def _bias(tensors: Tensors) -> Patch | None:
    if "up_bias" in tensors:
        return Difference(diff=tensors["up_bias"], scale=_scale(tensors, tensors["down"].shape[0]))
    diff = tensors.get("diff_b", tensors.get("b_norm"))
    return None if diff is None else Difference(diff=diff)


def _scale(tensors: Tensors, rank: int | None) -> float:
    """Return what a product is multiplied by: alpha / rank, or the stored `scale`."""
    if "scale" in tensors:
        return float(tensors["scale"])
    scalar = float(tensors["scalar"]) if "scalar" in tensors else 1.0
    return scalar * (float(tensors["alpha"]) / rank if "alpha" in tensors and rank else 1.0)


def _low_rank(tensors: Tensors) -> Patch | None:
    if "up" not in tensors and "down" not in tensors:
        return None
    up, down = tensors["up"], tensors["down"]
    return LowRank(up=up, down=down, mid=tensors.get("mid"), scale=_scale(tensors, down.shape[0]))


def _hadamard(tensors: Tensors) -> Patch | None:
    if "hada_w1_a" not in tensors:
        return None
    right = (tensors["hada_w1_b"], tensors["hada_w2_b"])
    return Hadamard(
        a=(tensors["hada_w1_a"], tensors["hada_w2_a"]),
        b=right,
        cores=(tensors["hada_t1"], tensors["hada_t2"]) if "hada_t1" in tensors else None,
        scale=_scale(tensors, right[0].shape[0]),
    )


def _kronecker(tensors: Tensors) -> Patch | None:
    first, second = _factor(tensors, "lokr_w1"), _factor(tensors, "lokr_w2")
    if not first and not second:
        return None
    if not first or not second:
        raise KeyError("lokr_w1" if second else "lokr_w2")
    ranked = next((parts[1] for parts in (first, second) if len(parts) == 2), None)
    return Kronecker(
        first=first,
        second=second,
        core=tensors.get("lokr_t2"),
        scale=_scale(tensors, None if ranked is None else ranked.shape[0]),
    )


def _factor(tensors: Tensors, name: str) -> tuple[Tensor, ...]:
    if name in tensors:
        return (tensors[name],)
    return (tensors[f"{name}_a"], tensors[f"{name}_b"]) if f"{name}_a" in tensors else ()


def _generalised(tensors: Tensors) -> Patch | None:
    """Make the patch of both orders of factors that exist; LyCORIS swapped them at some time."""
    if "a1" not in tensors:
        return None
    a1, a2, b1, b2 = (tensors[name] for name in ("a1", "a2", "b1", "b2"))
    swapped = a1.shape[0] < a1[0].numel()  # [r, i] in front
    if swapped:
        a1, a2, b1, b2 = a2, a1, b2, b1
    return Generalised(inner=(a1, a2), outer=(b1, b2), scale=_scale(tensors, a2.shape[0]))


def _turned(tensors: Tensors) -> Patch | None:
    blocks = tensors.get("oft_blocks", tensors.get("oft_diag"))
    if blocks is None:
        return None
    outputs = blocks.shape[-3] * blocks.shape[-2]
    bound = float(tensors["alpha"]) * outputs if "alpha" in tensors else 0.0
    limit = bound if bound > 0 else None  # 0 is written where nothing was limited
    if blocks.ndim == 4:
        return Butterfly(blocks=blocks, limit=limit, rescale=tensors.get("rescale"))
    return Rotation(
        blocks=blocks, rotations="oft_diag" in tensors, limit=limit, rescale=tensors.get("rescale")
    )  # fmt: skip


def _rescaling(tensors: Tensors) -> Patch | None:
    if "weight" not in tensors or "on_input" not in tensors:
        return None
    return Rescaling(factors=tensors["weight"], on_input=bool(tensors["on_input"]))


def _whole(tensors: Tensors) -> Patch | None:
    if "set_weight" in tensors:
        return Replacement(value=tensors["set_weight"])
    diff = tensors.get("diff", tensors.get("w_norm"))
    return None if diff is None else Difference(diff=diff)


def _sparse(tensors: Tensors) -> Tensor:
    size = torch.Size(int(side) for side in tensors["bias_size"])
    indices, values = tensors["bias_indices"].long(), tensors["bias_values"].float()
    return torch.sparse_coo_tensor(indices, values, size, check_invariants=True)
