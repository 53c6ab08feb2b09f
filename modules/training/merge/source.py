"""The tensors of a model under the names of the original layout, read one at a time."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.families.opening import OpenModel
from modules.families.sd1.keys import VAE_PREFIX, vae_names
from modules.training.merge.stream import DTYPES

_OLD_TEXT = re.compile(r"^cond_stage_model\.transformer\.(embeddings|encoder|final_layer_norm)\.")
_FACTORS = re.compile(r"(^|\.)(weight_scale|comfy_quant)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor of a file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    """What holds its values."""
    read: Callable[[], Tensor]
    """Maps it, perhaps in a wider dtype; do not write to it."""


Model = Mapping[str, Stored]
"""Original name -> tensor."""


def model_of(file: OpenModel) -> Model:
    """Describe a checkpoint; early names of the text encoder become those of later files.

    Raises:
        BrokenFile: a tensor has a dtype that torch does not know.
    """
    return {
        _OLD_TEXT.sub(r"cond_stage_model.transformer.text_model.\1.", name): stored(file, name) for name in file.names
    }


def vae_of(file: OpenModel) -> Model:
    """Describe a VAE, from a file of its own or from a whole checkpoint, with its names in checkpoints.

    Raises:
        UnsupportedCheckpoint: there is no VAE in the file.
        BrokenFile: a tensor has a dtype that torch does not know.
    """
    names = vae_names(file.header.tensors)
    if not any(name.startswith("decoder.") for name in names):
        raise UnsupportedCheckpoint(file.header.path, hint="There is no VAE in it.")
    return {VAE_PREFIX + name: stored(file, own) for name, own in names.items()}


def has_factors(model: Model) -> bool:
    """Tell whether weights are stored as small numbers with unknown factors beside them, so that a sum means nothing."""
    return any(_FACTORS.search(name) for name in model)


def stored(file: OpenModel, name: str) -> Stored:
    """Describe a tensor of an open model.

    Raises:
        BrokenFile: it has a dtype that torch does not know.
    """
    info = file.header.tensors[name]
    if info.dtype not in DTYPES:
        raise BrokenFile(file.header.path, f"tensor {name[:120]!a} has the dtype {info.dtype}, which is not supported")
    dtype = DTYPES[info.dtype]
    if dtype.itemsize == 1 and dtype.is_floating_point and file.stored(name)[1] is not None:
        dtype = torch.float16  # its values are products with a factor that lies beside it
    return Stored(shape=info.shape, dtype=dtype, read=partial(file.get, name))
