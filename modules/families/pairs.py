"""One tensor under the names and in the shapes of two layouts: that of the original checkpoints and that of diffusers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Form(Enum):
    """How the values of the two layouts differ."""

    SAME = "same"
    CONVOLUTION = "convolution"
    """A 1x1 convolution [o, i, 1, 1] in the original, a linear layer [o, i] in diffusers."""
    TRANSPOSED = "transposed"
    """A matrix in the original, the same with rows for columns in diffusers."""
    STACKED = "stacked"
    """One tensor in the original, its equal parts along the first axis in diffusers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor of the original layout and what it is called in diffusers; several names when it is stored in parts."""

    original: str
    diffusers: tuple[str, ...]
    form: Form = Form.SAME


def original_shape(pair: Pair, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape in the original layout.

    Args:
        pair: the tensor.
        shapes: by name in diffusers.

    Raises:
        KeyError: a part is missing.
    """
    first, *others = (shapes[name] for name in pair.diffusers)
    match pair.form:
        case Form.CONVOLUTION:
            return (*first, 1, 1) if len(first) == 2 else first
        case Form.TRANSPOSED:
            return first[::-1]
        case Form.STACKED:
            return (first[0] + sum(other[0] for other in others), *first[1:])
        case Form.SAME:
            return first


def to_original(pair: Pair, get: Callable[[str], Tensor]) -> Tensor:
    """Return a tensor of the original layout; `get` reads one of diffusers by name."""
    match pair.form:
        case Form.CONVOLUTION:
            tensor = get(pair.diffusers[0])
            return tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        case Form.TRANSPOSED:
            return get(pair.diffusers[0]).T
        case Form.STACKED:
            parts = [get(name) for name in pair.diffusers]
            if parts[0].element_size() > 1:
                return torch.cat(parts)
            return torch.cat([part.view(torch.uint8) for part in parts]).view(parts[0].dtype)  # 8 bit: no kernel
        case Form.SAME:
            return get(pair.diffusers[0])


def to_diffusers(pair: Pair, tensor: Tensor) -> dict[str, Tensor]:
    """Return by name what a tensor of the original layout is in diffusers; shares memory where it can."""
    match pair.form:
        case Form.CONVOLUTION:
            return {pair.diffusers[0]: tensor[:, :, 0, 0] if tensor.ndim == 4 else tensor}
        case Form.TRANSPOSED:
            return {pair.diffusers[0]: tensor.T}
        case Form.STACKED:
            parts = tensor.chunk(len(pair.diffusers))
            return dict(zip(pair.diffusers, parts, strict=True))
        case Form.SAME:
            return {pair.diffusers[0]: tensor}


def paired(names: Iterable[str], modules: Mapping[str, str], *, to: str) -> tuple[Pair, ...]:
    """Pair the tensors of modules that have a counterpart; names of no known module are left out.

    Args:
        names: of tensors in one of the layouts.
        modules: path of a module in the original layout -> path in diffusers.
        to: "diffusers" for names of the original layout, "original" for names of diffusers.
    """
    forward = to == "diffusers"
    lookup = modules if forward else {theirs: ours for ours, theirs in modules.items()}
    found = ((name, _renamed(name, lookup)) for name in names)
    known = [(name, other) for name, other in found if other is not None]
    return tuple(Pair(name, (other,)) if forward else Pair(other, (name,)) for name, other in known)


def _renamed(name: str, modules: Mapping[str, str]) -> str | None:
    """Replace the longest known module path that a name begins with."""
    end = len(name)
    while (end := name.rfind(".", 0, end)) > 0:
        if (other := modules.get(name[:end])) is not None:
            return other + name[end:]
    return None
