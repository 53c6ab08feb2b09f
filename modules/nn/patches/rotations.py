"""Patches that turn the outputs of a layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from modules.nn.patches.patch import Additive, Shape

_TINY = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotation(Additive):
    """A rotation of each block of outputs (OFT).

    Source: Qiu et al. 2023, arXiv:2306.07280, sections 3.2 and 3.3 (Cayley's form, blocks on the diagonal, constraint).
    """

    blocks: Tensor
    """[n, b, b] with n b = o: skew-symmetric when antisymmetrised, or the rotations themselves."""
    rotations: bool = False
    """Whether the blocks already are rotations."""
    limit: float | None = None
    """Largest Frobenius norm of all skew-symmetric blocks together; None for any."""
    rescale: Tensor | None = None
    """[o, 1, ...]: factor of each output after it was turned."""

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        num, rows, columns = self.blocks.shape
        scaled = self.rescale is None or self.rescale.numel() == shape[0]
        return len(shape) > 1 and scaled and rows == columns and num * rows == shape[0]

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the way from the weight to the turned one."""
        blocks = self.blocks.to(weight)
        turns = blocks if self.rotations else cayley(blocks, self.limit)
        parts = weight.unflatten(0, blocks.shape[:2])  # [o, ...] -> [n, b, ...]
        turned = torch.einsum("nab,na...->nb...", turns, parts).flatten(0, 1)
        return (_rescaled(turned, self.rescale) - weight) * strength


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Butterfly(Additive):
    """Several rotations of blocks after one another, each of another choice of outputs (BOFT).

    Source: Liu et al. 2023, arXiv:2311.06243, section 4; the strength turns each rotation back towards none.
    """

    blocks: Tensor
    """[m, n, b, b] with n b = o; level j joins outputs that are 2^j b / 2 apart."""
    limit: float | None = None
    rescale: Tensor | None = None
    """[o, 1, ...]."""

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        levels, num, side, other = self.blocks.shape
        scaled = self.rescale is None or self.rescale.numel() == shape[0]
        widest = 2**levels * (side // 2)
        blocks = side == other and num * side == shape[0] and side % 2 == 0
        return len(shape) > 1 and scaled and blocks and shape[0] % widest == 0

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the way from the weight to the turned one."""
        half = self.blocks.shape[2] // 2
        turned = weight
        for level, blocks in enumerate(self.blocks.to(weight)):
            turns = cayley(blocks, self.limit)
            turns = strength * turns + (1 - strength) * torch.eye(blocks.shape[1]).to(weight)
            apart = 2**level * half
            mixed = turned.unflatten(0, (-1, 2, apart)).transpose(1, 2)  # [o, ...] -> [c, apart, 2, ...]
            order = mixed.shape
            parts = mixed.flatten(0, 2).unflatten(0, blocks.shape[:2])  # [n, b, ...]
            moved = torch.einsum("nab,nb...->na...", turns, parts).flatten(0, 1)
            turned = moved.unflatten(0, order[:3]).transpose(1, 2).flatten(0, 2)
        if self.rescale is not None:
            factors = 1 + strength * (self.rescale.to(weight) - 1)
            turned = _rescaled(turned, factors)
        return turned - weight


def cayley(blocks: Tensor, limit: float | None) -> Tensor:
    """Return the rotations (I + Q)(I - Q)^-1 of the skew-symmetric parts Q = B - B^T of blocks [n, b, b]."""
    skew = blocks - blocks.transpose(1, 2)
    if limit is not None:
        norm = skew.norm()
        skew = skew * ((norm.clamp(max=limit) + _TINY) / (norm + _TINY))
    one = torch.eye(blocks.shape[1]).to(blocks)
    return torch.linalg.solve(one - skew, one + skew)  # the two factors commute


def _rescaled(weight: Tensor, factors: Tensor | None) -> Tensor:
    if factors is None:
        return weight
    return weight * factors.to(weight).reshape(-1, *[1] * (weight.ndim - 1))
