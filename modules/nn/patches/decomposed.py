"""Patches that set how long each row or column of a weight is after it was changed."""

from dataclasses import dataclass

from torch import Tensor

from modules.nn.patches.patch import Additive, Patch, Shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposed(Additive):
    """Another patch gives the direction, a vector the magnitude (DoRA).

    Source: Liu et al. 2024, arXiv:2402.09353, equation 5. The paper norms columns of a transposed weight; which axis
    a file means is told by the shape of its magnitudes.
    """

    inner: Patch
    magnitude: Tensor
    """[o], [o, 1, ...] for one number per output, or [1, i, ...] for one per input."""
    scale: float = 1.0
    """Of the difference as a whole, for files whose trainer scaled it there."""

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        axis = self._axis()
        return len(shape) > axis and self.magnitude.numel() == shape[axis] and self.inner.fits(shape)

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return the way from the weight to the one of given magnitudes."""
        axis = self._axis()
        turned = self.inner.apply(weight, 1.0)
        others = [i for i in range(weight.ndim) if i != axis]
        norm = turned.square().sum(others, keepdim=True).sqrt()
        magnitude = self.magnitude.to(weight).reshape(norm.shape)
        return (turned * (magnitude / norm) - weight) * (strength * self.scale)

    def _axis(self) -> int:
        """Return which axis of the weight the magnitudes belong to."""
        return int(self.magnitude.ndim > 1 and self.magnitude.shape[0] == 1 and self.magnitude.numel() > 1)
