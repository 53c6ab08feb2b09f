"""How much memory weights take."""

from collections.abc import Iterator

from torch import Tensor, nn

from modules.families.family import Components


def num_bytes(components: Components) -> int:
    """Return the memory that the weights of a model take; what parts share is counted once."""
    eye = [components.eye] if components.eye else []
    return weight_bytes(components.text, components.unet, components.vae, *eye)


def weight_bytes(*parts: nn.Module) -> int:
    """Return the memory that the weights of some networks take, in bytes; what they share is counted once."""
    return sum({id(tensor): tensor.nbytes for part in parts for tensor in weights(part)}.values())


def weights(part: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters and buffers of a network."""
    yield from part.parameters()
    yield from part.buffers()
