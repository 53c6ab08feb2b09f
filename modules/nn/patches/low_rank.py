"""Patches made of products of small matrices."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modules.nn.patches.patch import Additive, Shape, flat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRank(Additive):
    """The product of two narrow matrices, with a small convolution between them in Tucker form.

    Source: Hu et al. 2021, arXiv:2106.09685, equation 3; Yeh et al. 2023, arXiv:2309.14859, section 3.2 (convolutions).
    """

    up: Tensor
    """[o, r] or [o, r, 1, 1]."""
    down: Tensor
    """[r, i], [r, i, k, k], or with `mid` [r, i, 1, 1]."""
    mid: Tensor | None = None
    """[r, r, k, k]."""
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        rows, columns = flat(shape)
        kernel = 1 if self.mid is None else self.mid[0, 0].numel()
        rank = self.up.shape[1] if self.up.ndim > 1 else 0
        middle = rank == self.down.shape[0] if self.mid is None else self.mid.shape[:2] == (rank, self.down.shape[0])
        return middle and self.up.shape[0] == rows and self.down[0].numel() * kernel == columns

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the product, in the shape of the weight."""
        up, down = self._factors(weight)
        if self.mid is None:
            return (up @ down).reshape(weight.shape) * (strength * self.scale)
        product = torch.einsum("om,mnkl,ni->oikl", up, self.mid.to(weight), down)
        return product.reshape(weight.shape) * (strength * self.scale)

    def apply(self, weight: Tensor, strength: float) -> Tensor:
        """Return the changed weight; in one step where a matrix product does it."""
        if self.mid is not None:
            return weight + self.delta(weight, strength)
        changed = torch.addmm(weight.flatten(1), *self._factors(weight), alpha=strength * self.scale)
        return changed.reshape(weight.shape)

    def cut(self, rank: int) -> "LowRank":
        """Keep the first `rank` of the ranks; the scale stays."""
        return self if self.mid is not None else replace(self, up=self.up[:, :rank], down=self.down[:rank])

    def _factors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return self.up.flatten(1).to(weight), self.down.flatten(1).to(weight)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hadamard(Additive):
    """The elementwise product of two products of narrow matrices (LoHa).

    Source: Hyeon-Woo et al. 2021, arXiv:2108.06098, proposition 1 and, with cores, proposition 3.
    """

    a: tuple[Tensor, Tensor]
    """Left factors [o, r]; with cores [r, o]."""
    b: tuple[Tensor, Tensor]
    """Right factors [r, i k k]; with cores [r, i]."""
    cores: tuple[Tensor, Tensor] | None = None
    """[r, r, k, k] each."""
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        if self.cores is None:
            sizes = [(a.shape[0], b[0].numel()) for a, b in zip(self.a, self.b, strict=True)]
            return all(size == flat(shape) for size in sizes)
        parts = zip(self.a, self.b, self.cores, strict=True)
        return all((a.shape[1], b.shape[1], *core.shape[2:]) == shape for a, b, core in parts)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the product, in the shape of the weight."""
        if self.cores is None:
            first, second = (a.to(weight) @ b.flatten(1).to(weight) for a, b in zip(self.a, self.b, strict=True))
        else:
            parts = zip(self.a, self.b, self.cores, strict=True)
            first, second = (tucker(core.to(weight), a.to(weight), b.to(weight)) for a, b, core in parts)
        return (first * second).reshape(weight.shape) * (strength * self.scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kronecker(Additive):
    """The Kronecker product of two small matrices, each whole or in factors (LoKr).

    Source: Edalati et al. 2022, arXiv:2212.10650, equation 3; Yeh et al. 2023, arXiv:2309.14859, section 3.3.
    """

    first: tuple[Tensor, ...]
    """[p, q], or its factors [p, r] and [r, q]."""
    second: tuple[Tensor, ...]
    """[o / p, i / q (, k, k)], or its factors [o / p, r] and [r, i / q (k k)]; with `core` [r, o / p] and [r, i / q]."""
    core: Tensor | None = None
    """[r, r, k, k]."""
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        rows = self.first[0].shape[0] * self.second[0].shape[0 if self.core is None else 1]
        kernel = 1 if self.core is None else self.core[0, 0].numel()
        columns = self.first[-1].shape[1] * self.second[-1][0].numel() * kernel
        return (rows, columns) == flat(shape)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the product, in the shape of the weight."""
        first = _product([part.to(weight) for part in self.first])
        factors = [part.to(weight) for part in self.second]
        second = _product(factors) if self.core is None else tucker(self.core.to(weight), factors[0], factors[1])
        # Rows of the second factor hold all of a kernel, so the product of matrices already has the order of the weight.
        return torch.kron(first, second.flatten(1)).reshape(weight.shape) * (strength * self.scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generalised(Additive):
    """A low-rank part that is added, and another one that the weight itself is multiplied with (GLoRA).

    Source: Chavan et al. 2023, arXiv:2306.07967, equation 10, without the parts for biases.
    """

    inner: tuple[Tensor, Tensor]
    """[i, r] and [r, i], applied to the inputs of the weight."""
    outer: tuple[Tensor, Tensor]
    """[o, r] and [r, i (, k, k)]."""
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        left, right = self.inner
        up, down = self.outer
        return left.shape[0] == shape[1] == right[0].numel() and (up.shape[0], down[0].numel()) == flat(shape)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return what is added to the weight, which itself enters it."""
        left, right, up, down = (part.flatten(1).to(weight) for part in (*self.inner, *self.outer))
        mixed = torch.einsum("oi...,ir,rj->oj...", weight, left, right)
        return (mixed + (up @ down).reshape(weight.shape)) * (strength * self.scale)


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the convolution [o, i, k, k] of a core [r, r, k, k] between a [r, o] and b [r, i]."""
    return torch.einsum("mnkl,mo,ni->oikl", core, a, b)


def _product(factors: list[Tensor]) -> Tensor:
    if len(factors) == 1:
        return factors[0]
    left, right = factors
    return left @ right.flatten(1)
