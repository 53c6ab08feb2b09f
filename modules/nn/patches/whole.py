"""Patches as large as the weight, and those that scale it."""

from dataclasses import dataclass

from torch import Tensor

from modules.nn.patches.patch import Additive, Patch, Shape, flat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference(Additive):
    """A difference to the weight: of whole models, norms and biases."""

    diff: Tensor
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        return tuple(self.diff.shape) == shape

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the difference."""
        return self.diff.to(weight) * (strength * self.scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replacement(Additive):
    """Another weight in place of the trained one; strengths between 0 and 1 mix the two."""

    value: Tensor

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        return tuple(self.value.shape) == shape

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the way to the other weight."""
        return (self.value.to(weight) - weight) * strength


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rescaling(Additive):
    """A factor for each output or each input of a layer (IA3).

    Source: Liu et al. 2022, arXiv:2205.05638, section 3.3; the file stores the factor's distance from 1.
    """

    factors: Tensor
    """As many as the layer has outputs or inputs, in any shape."""
    on_input: bool = False

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        return len(shape) > 1 and self.factors.numel() == shape[int(self.on_input)]

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the weight times the factors."""
        sides = [1] * weight.ndim
        sides[int(self.on_input)] = -1
        return weight * self.factors.to(weight).reshape(sides) * strength


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corrected(Additive):
    """Another patch and single values that are added to it."""

    inner: Patch
    values: Tensor
    """Sparse, in the shape of the weight or of its matrix."""
    scale: float = 1.0

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        return tuple(self.values.shape) in (shape, flat(shape)) and self.inner.fits(shape)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the sum of both."""
        single = self.values.to_dense().to(weight).reshape(weight.shape)
        return self.inner.delta(weight, strength) + single * (strength * self.scale)
