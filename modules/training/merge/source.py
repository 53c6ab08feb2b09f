"""The tensors of a model file under the names of the original layout, read one at a time."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.families.diffusers_keys import vae_pairs
from modules.families.pairs import original_shape, to_original
from modules.families.sd1.keys import VAE_PREFIX, vae_names
from modules.library.tensors import Tensors
from modules.training.merge.stream import DTYPES

_OLD_TEXT = re.compile(r"^cond_stage_model\.transformer\.(embeddings|encoder|final_layer_norm)\.")
_FOREIGN = ("down_blocks.", "unet.down_blocks.", "transformer_blocks.", "text_model.")
_SCALED = re.compile(r"(^|\.)(scaled_fp8|scale_weight|weight_scale|comfy_quant)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor of a file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    """Maps it; do not write to it."""


Model = Mapping[str, Stored]
"""Original name -> tensor."""


def model_of(tensors: Tensors) -> Model:
    """Describe a checkpoint; early names of the text encoder become those of later files.

    Raises:
        UnsupportedCheckpoint: its names are those of diffusers.
        BrokenFile: a tensor has a dtype that torch does not know.
    """
    foreign = next((name for name in tensors.names if name.startswith(_FOREIGN)), None)
    if foreign is not None:
        raise UnsupportedCheckpoint(
            tensors.header.path,
            hint=f"{foreign[:80]!r} is a name of the diffusers layout; convert it with `python -m modules.training.convert`.",
        )
    return {
        _OLD_TEXT.sub(r"cond_stage_model.transformer.text_model.\1.", name): _stored(tensors, name)
        for name in tensors.names
    }


def vae_of(tensors: Tensors) -> Model:
    """Describe a VAE, from a file of its own in either layout or from a whole checkpoint, with its names in checkpoints.

    Raises:
        UnsupportedCheckpoint: there is no VAE in the file.
        BrokenFile: a tensor has a dtype that torch does not know.
    """
    names = vae_names(tensors.header.tensors)
    if any(name.startswith("encoder.down_blocks.") for name in names):
        found = dict(_from_diffusers(tensors))
    else:
        found = {VAE_PREFIX + name: _stored(tensors, stored) for name, stored in names.items()}
    if not any(name.startswith(f"{VAE_PREFIX}decoder.") for name in found):
        raise UnsupportedCheckpoint(tensors.header.path, hint="There is no VAE in it.")
    return found


def is_scaled(model: Model) -> bool:
    """Tell whether weights are stored as small numbers with factors beside them, so that a sum means nothing."""
    return any(_SCALED.search(name) for name in model)


def _from_diffusers(tensors: Tensors) -> Iterator[tuple[str, Stored]]:
    shapes = {name: info.shape for name, info in tensors.header.tensors.items()}
    for pair in vae_pairs(tensors.names):
        dtype = _stored(tensors, pair.diffusers[0]).dtype
        read = partial(to_original, pair, tensors.get)
        yield VAE_PREFIX + pair.original, Stored(shape=original_shape(pair, shapes), dtype=dtype, read=read)


def _stored(tensors: Tensors, name: str) -> Stored:
    info = tensors.header.tensors[name]
    if info.dtype not in DTYPES:
        raise BrokenFile(
            tensors.header.path, f"tensor {name[:120]!a} has the dtype {info.dtype}, which cannot be merged"
        )
    return Stored(shape=info.shape, dtype=DTYPES[info.dtype], read=partial(tensors.get, name))
