"""Fill networks that were built on the meta device from a file, one tensor at a time, and accept nothing else."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from modules.domain.errors import BrokenFile
from modules.nn.eight_bit import FORMATS, StoredConv2d, StoredLinear, Storing, put_weight

SHOWN = 5
"""Names listed in a complaint; the rest is counted."""


Network = TypeVar("Network", bound=nn.Module)


def build(path: Path, make: Callable[[], Network]) -> Network:
    """Construct a network without memory or initialisation.

    Raises:
        BrokenFile: the sizes found in the file cannot be built (heads that do not divide a width and the like).
    """
    try:
        with torch.device("meta"):
            return make().eval().requires_grad_(False)
    except (ValueError, ZeroDivisionError) as error:
        raise BrokenFile(path, f"has sizes that do not fit together ({error}); check the yaml beside it") from error


def fill(
    module: nn.Module,
    part: str,
    stored: Mapping[str, str],
    get: Callable[[str], Tensor],
    *,
    path: Path,
    device: torch.device,
    dtype: torch.dtype,
    storing: Storing | None = None,
    stored_tensor: Callable[[str], tuple[Tensor, Tensor | None]] | None = None,
) -> None:
    """Assign every parameter and stored buffer of a module from a file.

    A tensor is converted, moved and let go before the next is read, so memory holds the module and one tensor.
    One that already has the type and place is used as it lies in the mapped file.

    Args:
        module: built on the meta device.
        part: what the module is called in complaints.
        stored: name in the module -> name in the file, for every tensor of the file that belongs to this part.
        get: reads a tensor of the file.
        path: the file, for complaints.
        device: where the module will run.
        dtype: number format of its weights.
        storing: how layers that can keep 8-bit weights do it.
        stored_tensor: reads a tensor for such a layer, with what its values are to be multiplied by.

    Raises:
        BrokenFile: names are missing, unexpected or of another shape; a 1x1 convolution may be stored as a matrix
            and the other way round.
    """
    slots = _slots(module)
    _compare(path, f"{part} tensors are missing", slots.keys() - stored.keys(), stored)
    _compare(path, f"{part} tensors are not part of this model", stored.keys() - slots.keys(), stored)
    for name, (owner, attribute, expected) in slots.items():
        if storing and stored_tensor and attribute == "weight" and isinstance(owner, StoredLinear | StoredConv2d):
            tensor, scale = stored_tensor(stored[name])
            tensor = put_weight(owner, tensor, None if scale is None else scale.to(device), storing)
        else:
            tensor = get(stored[name])
        tensor = _shaped(tensor, expected, stored[name], path)
        kept = isinstance(owner, StoredLinear | StoredConv2d) and tensor.dtype in FORMATS
        tensor = tensor.to(device=device, dtype=tensor.dtype if kept else dtype)
        if attribute in owner._parameters:
            owner._parameters[attribute] = nn.Parameter(tensor, requires_grad=False)
        else:
            owner._buffers[attribute] = tensor


def _shaped(tensor: Tensor, expected: torch.Size, name: str, path: Path) -> Tensor:
    if tensor.shape == expected:
        return tensor
    if tensor.ndim in (2, 4) and (*tensor.shape, 1, 1)[:4] == (*expected, 1, 1)[:4]:
        return tensor.reshape(expected)
    raise BrokenFile(path, f"{name} has shape {list(tensor.shape)}, expected {list(expected)}")


def _slots(module: nn.Module) -> dict[str, tuple[nn.Module, str, torch.Size]]:
    """Name -> the module that owns the tensor, its attribute there, and its shape."""
    slots = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        prefix, _, attribute = name.rpartition(".")
        slots[name] = (module.get_submodule(prefix), attribute, tensor.shape)
    return slots


def _compare(path: Path, complaint: str, names: Iterable[str], stored: Mapping[str, str]) -> None:
    found = sorted(stored.get(name, name) for name in names)
    if found:
        rest = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise BrokenFile(path, f"{len(found)} {complaint}: {', '.join(found[:SHOWN])}{rest}")
