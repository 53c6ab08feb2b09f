"""The layers of a model under all names that trainers give them, from the key tables of its networks."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from torch import nn

from modules.families.diffusers_keys import clip_pairs, openclip_pairs, unet_pairs
from modules.families.family import Components
from modules.families.pairs import Pair
from modules.nn.patches.key_map import KeyMap, Target, flattened

_ALONE = (".to_out.0",)
"""Ends of names that early files of diffusers write without the number."""


def unet_layers(unet: nn.Module) -> dict[str, Target]:
    """Return flat name -> layer of a UNet, by its names in the original layout and in that of diffusers."""
    return _layers("unet", "", unet_pairs(unet.state_dict().keys()))


def clip_layers(text: nn.Module, prefix: str = "") -> dict[str, Target]:
    """Return flat name -> layer of CLIP; `prefix` leads to it within the network of texts."""
    return _layers("text", prefix, clip_pairs(_below(text, prefix)))


def openclip_layers(text: nn.Module, prefix: str = "") -> dict[str, Target]:
    """Return flat name -> layer of OpenCLIP; queries, keys and values are thirds of one layer."""
    return _layers("text", prefix, openclip_pairs(_below(text, prefix)))


def plain_layers(part: str, network: nn.Module) -> dict[str, Target]:
    """Return flat name -> layer of a network that has one layout."""
    names = [name for name in network.state_dict() if name.endswith(".weight")]
    return {flattened(_stem(name)): Target(part, name, _bias(name)) for name in names}


def key_map(model: Components, **networks: Mapping[str, Target]) -> KeyMap:
    """Put the layers of the networks of a model (unet, te1, te2) together."""
    read_only = {name: MappingProxyType(dict(layers)) for name, layers in networks.items()}
    return KeyMap(family=model.match.family, networks=MappingProxyType(read_only))


def _below(network: nn.Module, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in network.state_dict() if name.startswith(prefix)]


def _layers(part: str, prefix: str, pairs: Iterable[Pair]) -> dict[str, Target]:
    found = dict[str, Target]()
    for pair in pairs:
        if not pair.original.endswith("weight"):
            continue
        weight, count = prefix + pair.original, len(pair.diffusers)
        found.setdefault(flattened(_stem(pair.original)), Target(part, weight, _bias(weight)))
        for which, name in enumerate(pair.diffusers):
            target = Target(part, weight, _bias(weight), (which, count))
            stem = _stem(name)
            for spelled in (stem, *(stem.removesuffix(".0") for end in _ALONE if stem.endswith(end))):
                found[flattened(spelled)] = target
    return found


def _stem(name: str) -> str:
    return name.removesuffix("weight").rstrip("._")


def _bias(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"
