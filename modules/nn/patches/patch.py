"""What every change of a weight has in common. A patch is a value: it holds tensors and changes nothing by itself.

In this package o and i are the outputs and inputs of a layer, r is a rank and k the side of a convolution's kernel.
Weights come as [o, i] or [o, i, k, k]; all arithmetic is done in the type of the weight that is given, float32 in use.
"""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

Shape = tuple[int, ...]


class Patch(Protocol):
    """A change of one weight, with a strength that is chosen when it is used."""

    def fits(self, shape: Shape) -> bool:
        """Tell whether the patch was made for a weight of this shape."""
        ...

    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return what is added to a weight, in its shape and type. The weight itself stays as it is."""
        ...

    def apply(self, weight: Tensor, strength: float) -> Tensor:
        """Return the changed weight."""
        ...


class Additive(ABC):
    """Gives patches that define `delta` their `apply`."""

    __slots__ = ()

    @abstractmethod
    def delta(self, weight: Tensor, strength: float) -> Tensor:
        """Return what is added to a weight."""

    def apply(self, weight: Tensor, strength: float) -> Tensor:
        """Return the changed weight."""
        return weight + self.delta(weight, strength)


def flat(shape: Shape) -> Shape:
    """Return the shape of a weight as a matrix: all that belongs to one output in one row."""
    columns = 1
    for side in shape[1:]:
        columns *= side
    return (shape[0], columns)
