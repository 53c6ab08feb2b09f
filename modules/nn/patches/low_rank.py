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
        if self.mid is None:
            return _chained(self.up, self.down) and (self.up.shape[0], self.down[0].numel()) == (rows, columns)
        inner, kernel = (self.up[0].numel(), self.down.shape[0]), tuple(self.mid.shape[2:])
        middle = self.mid.ndim == 4 and self.mid.shape[:2] == inner
        return middle and (self.up.shape[0], self.down[0].numel(), *kernel) == shape

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
            pairs = zip(self.a, self.b, strict=True)
            return all(_chained(a, b) and (a.shape[0], b[0].numel()) == flat(shape) for a, b in pairs)
        parts = zip(self.a, self.b, self.cores, strict=True)
        return all(_tucker_shape(core, a, b) == shape for a, b, core in parts)

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
        first = _product_shape(self.first)
        second = _product_shape(self.second) if self.core is None else _tucker_shape(self.core, *self.second)
        if first is None or second is None:
            return False
        (rows, columns), (p, q) = flat(second), flat(first)
        return (p * rows, q * columns) == flat(shape)

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
        chained = _chained(left, right) and _chained(up, down)
        square = left.shape[0] == shape[1] == right[0].numel()
        return chained and square and (up.shape[0], down[0].numel()) == flat(shape)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return what is added to the weight, which itself enters it."""
        left, right, up, down = (part.flatten(1).to(weight) for part in (*self.inner, *self.outer))
        mixed = torch.einsum("oi...,ir,rj->oj...", weight, left, right)
        return (mixed + (up @ down).reshape(weight.shape)) * (strength * self.scale)


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the convolution [o, i, k, k] of a core [r, r, k, k] between a [r, o] and b [r, i]."""
    return torch.einsum("mnkl,mo,ni->oikl", core, a, b)


def _chained(left: Tensor, right: Tensor) -> bool:
    """Tell whether the matrices of two tensors can be multiplied."""
    return left[0].numel() == right.shape[0]


def _product_shape(factors: tuple[Tensor, ...]) -> Shape | None:
    if len(factors) == 1:
        return tuple(factors[0].shape) if factors[0].ndim > 1 else None
    left, right = factors
    return (left.shape[0], right[0].numel()) if left.ndim == 2 and _chained(left, right) else None


def _tucker_shape(core: Tensor, a: Tensor, b: Tensor) -> Shape | None:
    if (core.ndim, a.ndim, b.ndim) != (4, 2, 2) or tuple(core.shape[:2]) != (a.shape[0], b.shape[0]):
        return None
    return (a.shape[1], b.shape[1], *core.shape[2:])


def _product(factors: list[Tensor]) -> Tensor:
    if len(factors) == 1:
        return factors[0]
    left, right = factors
    return left @ right.flatten(1)
