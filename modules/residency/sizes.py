"""How much memory weights take."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from modules.families.family import Components


def parts_of(components: Components) -> tuple[nn.Module, ...]:
    """Return the networks of a model."""
    eye = [components.eye] if components.eye else []
    return components.text, components.unet, components.vae, *eye


def weight_bytes(*parts: nn.Module) -> int:
    """Return the memory that the weights of some networks take, in bytes; what they share is counted once."""
    return sum({id(tensor): tensor.nbytes for part in parts for tensor in weights(part)}.values())


def weights(part: nn.Module, *, recurse: bool = True) -> Iterator[Tensor]:
    """Yield the parameters and buffers of a network, those of its layers only with `recurse`."""
    yield from part.parameters(recurse)
    yield from part.buffers(recurse)


def is_on(part: nn.Module, device: torch.device) -> bool:
    """Tell whether the weights of a network, which move together, lie on a device of this kind."""
    first = next(weights(part), None)
    return first is None or first.device.type == device.type
