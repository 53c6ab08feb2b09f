"""Which weights of a model the layers of a LoRA file mean."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from modules.adapters.lora.file import LoraFile
from modules.adapters.lora.names import LayerName
from modules.nn.patches.key_map import KeyMap, Target
from modules.nn.patches.low_rank import LowRank
from modules.nn.patches.merge import Use
from modules.nn.patches.patch import Patch, Shape

ShapeOf = Callable[[str, str], Shape | None]
"""(part, name of a weight or bias) -> its shape, None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A patch and the weight it is for."""

    network: str
    """As the file names it: unet, or a text encoder."""
    target: Target
    name: str
    """Of the weight or bias in the network of `target.part`."""
    patch: Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A LoRA with its places in one model."""

    placed: tuple[Placed, ...]
    missing: tuple[LayerName, ...]
    """Layers that the model does not have."""
    misfits: tuple[LayerName, ...]
    """Layers that are of another size there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How strongly a LoRA is used."""

    text: float = 1.0
    unet: float = 1.0
    rank: int | None = None
    """Use only that many ranks of plain low-rank layers."""
    layers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Further factors of single layers, as `layer_key` names them."""


def layer_key(target: Target) -> str:
    """Return the name of a layer among those of all parts of a model."""
    return f"{target.part}.{target.weight}"


def bind(file: LoraFile, keys: KeyMap, shape_of: ShapeOf) -> Bound:
    """Find the weights that a file changes; what does not fit is left out and told."""
    placed, missing, misfits = list[Placed](), list[LayerName](), list[LayerName]()
    for layer, patches in file.layers.items():
        target = keys.find(layer.network, layer.path)
        if target is None:
            missing.append(layer)
            continue
        weight = shape_of(target.part, target.weight)
        pairs = ((patches.weight, target.weight, weight), (patches.bias, target.bias, _bias_shape(weight)))
        for patch, name, shape in pairs:
            if patch is None:
                continue
            if shape is None or not _fits(patch, _shared(shape, target)):
                misfits.append(layer)
                break
            placed.append(Placed(network=layer.network, target=target, name=name, patch=patch))
    return Bound(placed=tuple(placed), missing=tuple(missing), misfits=tuple(misfits))


def uses(bound: Bound, strength: Strength, source: Hashable) -> Iterator[tuple[str, str, Use]]:
    """Yield (part, name of the weight or bias, what a LoRA merges into it). A strength of 0 merges nothing.

    Args:
        bound: the LoRA in the model.
        strength: how strongly it is used.
        source: says which file it is, in which state.
    """
    rank = strength.rank
    for one in bound.placed:
        amount = strength.text if one.target.part == "text" else strength.unet
        amount *= strength.layers.get(layer_key(one.target), 1.0)
        if not amount:
            continue
        patch = one.patch.cut(rank) if rank is not None and isinstance(one.patch, LowRank) else one.patch
        use = Use(patch=patch, source=(source, rank), strength=amount, share=one.target.share)
        yield one.target.part, one.name, use


def _fits(patch: Patch, shape: Shape) -> bool:
    try:
        return patch.fits(shape)
    except (IndexError, ValueError, ZeroDivisionError):  # a tensor has fewer dimensions than its kind, or none at all
        return False


def _bias_shape(weight: Shape | None) -> Shape | None:
    return None if weight is None else weight[:1]


def _shared(shape: Shape, target: Target) -> Shape:
    return (shape[0] // target.share[1], *shape[1:])
