"""Fill networks that were built on the meta device from a file, one tensor at a time, and accept nothing else."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from modules.domain.errors import BrokenFile

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

    Raises:
        BrokenFile: names are missing, unexpected or of another shape.
    """
    slots = _slots(module)
    _compare(path, f"{part} tensors are missing", slots.keys() - stored.keys(), stored)
    _compare(path, f"{part} tensors are not part of this model", stored.keys() - slots.keys(), stored)
    for name, (owner, attribute, expected) in slots.items():
        tensor = get(stored[name])
        if tensor.shape != expected:
            raise BrokenFile(path, f"{stored[name]} has shape {list(tensor.shape)}, expected {list(expected)}")
        tensor = tensor.to(device=device, dtype=dtype)
        if attribute in owner._parameters:
            owner._parameters[attribute] = nn.Parameter(tensor, requires_grad=False)
        else:
            owner._buffers[attribute] = tensor


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
