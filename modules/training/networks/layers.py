"""Which layers of a model a LoRA is trained for, under the names that kohya's trainer gives them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from modules.domain.errors import InvalidRequest
from modules.families.family import Components
from modules.nn.blocks import Downsample, ResBlock, SpatialTransformer, Upsample
from modules.nn.patches.key_map import Target

_TEXT_LAYER = re.compile(r"_layers_(\d+)_(?:self_attn|mlp)_")
_ORIGINAL_NAMES = ("sdxl",)
"""Lineages whose UNet kohya names as the original checkpoints do; it names all others as diffusers does."""
_LAST_UNREAD = ("sd2",)
"""Lineages that read their text encoder before its last layer, which their trainers do not even load."""
_DIFFUSERS_STARTS = ("down_blocks_", "mid_block_", "up_blocks_")
_CLIP_START = "text_model_"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSizes:
    """How large a LoRA is and what it changes."""

    rank: int = 8
    alpha: float = 8.0
    """Every product counts `alpha / rank` times."""
    conv_rank: int = 0
    """Rank of 3x3 convolutions; 0 leaves the residual blocks out, as kohya does without `conv_dim`."""
    conv_alpha: float = 1.0
    unet: bool = True
    text: bool = True
    """Whether the text encoders are changed too."""
    only: str = ""
    """Regular expression; only layers are changed in whose name it is found."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.conv_rank < 0:
            raise InvalidRequest(
                f"a rank of {min(self.rank, self.conv_rank)} holds nothing; give 1 or more", field="rank"
            )
        if not self.unet and not self.text:
            raise InvalidRequest("neither the UNet nor the text encoder is to be changed; choose one", field="unet")
        try:
            re.compile(self.only)
        except re.error as error:
            raise InvalidRequest(f"not a regular expression: {error}", field="only") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer that gets a branch."""

    name: str
    """In the file, without what is said of the tensor: `lora_unet_..._to_q`."""
    target: Target
    rank: int
    alpha: float


def layers_of(model: Components, sizes: LoraSizes) -> tuple[Layer, ...]:
    """Choose the layers of a model.

    Raises:
        InvalidRequest: none is left.
    """
    found = [layer for layer in _all_layers(model, sizes) if re.search(sizes.only, layer.name)]
    if not found:
        raise InvalidRequest(f"no layer of this model has {sizes.only!r} in its name", field="only")
    return tuple(found)


def _all_layers(model: Components, sizes: LoraSizes) -> Iterator[Layer]:
    keys = model.family.key_map(model)
    parts = {"unet": model.unet, "text": model.text}
    several = len([name for name, layers in keys.networks.items() if name != "unet" and layers]) > 1
    for network, layers in keys.networks.items():
        if not (sizes.unet if network == "unet" else sizes.text):
            continue
        start = f"lora_{network}_" if network == "unet" or several else "lora_te_"
        original = model.match.family in _ORIGINAL_NAMES and network == "unet"
        last = _last_number(layers) if network != "unet" and model.match.family in _LAST_UNREAD else None
        for target, names in _by_target(layers).items():
            name = start + _kohya_name(names, target, original=original)
            rank, alpha = _size(parts[target.part], target, name, sizes)
            if rank and (last is None or f"_layers_{last}_" not in name):
                yield Layer(name=name, target=target, rank=rank, alpha=alpha)


def _last_number(names: Iterable[str]) -> int:
    """Return the number of the last layer of a text encoder."""
    return max((int(match[1]) for name in names if (match := _TEXT_LAYER.search(name))), default=0)


def _by_target(layers: Mapping[str, Target]) -> dict[Target, list[str]]:
    found = dict[Target, list[str]]()
    for name, target in layers.items():
        found.setdefault(target, []).append(name)
    return found


def _kohya_name(names: Iterable[str], target: Target, *, original: bool) -> str:
    """Choose among the names of one layer. Of several in one layout the longest is the current spelling."""
    own = target.weight.removesuffix(".weight").replace(".", "_")
    if original and own in names:
        return own
    starts = (_CLIP_START,) if target.part == "text" else _DIFFUSERS_STARTS
    return max((name for name in names if name.startswith(starts)), key=len, default=own)


def _size(network: nn.Module, target: Target, name: str, sizes: LoraSizes) -> tuple[int, float]:
    """Return rank and alpha of a layer; rank 0 where it is to stay as it is."""
    plain, none = (sizes.rank, sizes.alpha), (0, 0.0)
    if target.part == "text":
        return plain if _TEXT_LAYER.search(name) else none
    path = target.weight.removesuffix(".weight")
    layer = network.get_submodule(path)
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return none
    if _inside(network, path, SpatialTransformer):
        return plain
    if not sizes.conv_rank or not _inside(network, path, ResBlock, Downsample, Upsample):
        return none
    wide = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
    return (sizes.conv_rank, sizes.conv_alpha) if wide else plain


def _inside(network: nn.Module, path: str, *kinds: type[nn.Module]) -> bool:
    while path:
        path = path.rpartition(".")[0]
        if isinstance(network.get_submodule(path), kinds):
            return True
    return False
