"""The names that A1111 gives the layers of a model, as attributes of the layers: `network_layer_name`."""

from typing import Any

from torch import nn

from modules.families.sdxl.text import TextEncoders
from modules.nn.patches.key_map import flattened

UNET = "diffusion_model"
NAME = "network_layer_name"


def name_layers(components: Any) -> dict[str, nn.Module]:
    """Return the layers of a model by name; each is told its own as well.

    Args:
        components: of a loaded model.
    """
    found = _named(components.unet, UNET)
    for prefix, encoder in encoders_of(components.text).items():
        found |= _named(encoder, prefix)
    if getattr(components.unet, NAME, None) is None:
        for name, layer in found.items():
            setattr(layer, NAME, name)
    return found


def encoders_of(text: nn.Module) -> dict[str, nn.Module]:
    """Return the text encoders, each under what the names of its layers begin with."""
    if not isinstance(text, TextEncoders):
        return {"": text}
    return {str(number): encoder for number, encoder in enumerate(text.embedders)}


def name_of(part: str, weight: str, text: nn.Module) -> str:
    """Return the name of the layer that a weight belongs to.

    Args:
        part: unet or text.
        weight: its name in that network.
        text: the text encoder, or all of them.
    """
    path = weight.rpartition(".")[0]
    if part == "unet":
        return flattened(f"{UNET}.{path}")
    return flattened(path.removeprefix("embedders.") if isinstance(text, TextEncoders) else path)


def _named(network: nn.Module, prefix: str) -> dict[str, nn.Module]:
    names = {".".join(part for part in (prefix, name) if part): layer for name, layer in network.named_modules()}
    return {flattened(name): layer for name, layer in names.items() if name}
