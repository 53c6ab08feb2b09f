"""Read embeddings in every form that trainers write them."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from modules.adapters.textual_inversion.embedding import ONLY, Embedding
from modules.adapters.textual_inversion.picture import vectors_in_picture
from modules.domain.errors import BrokenFile
from modules.library.hashes import AUTOV3_DIGITS, file_sha256
from modules.library.tensors import open_tensors

PICTURES = (".png", ".webp", ".avif")
SUFFIXES = (".pt", ".bin", ".safetensors", *PICTURES)
"""Endings of embeddings in their folder. A1111 also looks for `.jxl`, which nothing here can decode."""

_A1111 = "string_to_param."
_ENCODERS = {
    "clip_l": "clip_l", "clip_g": "clip_g", "t5xxl": "t5xxl", "text_encoders_0": "clip_l", "text_encoders_1": "clip_g"
}  # fmt: skip
"""Name of a tensor -> text encoder, in files for several encoders."""


def read_embedding(path: Path, *, allow_unsafe: bool = False) -> Embedding:
    """Read one embedding. Its name is that of the file, or for a picture the one stored in it.

    Raises:
        BrokenFile: it holds no embedding, or is damaged.
        UnsafePickle: it asks for code and `allow_unsafe` is off.
    """
    if path.suffix.lower() in PICTURES:
        stored, facts = vectors_in_picture(path)
    else:
        with open_tensors(path, allow_unsafe=allow_unsafe) as file:
            stored, facts = {name: file.get(name).clone() for name in _wanted(file.names)}, file.header.metadata
    name = facts.get("name", path.stem) if path.suffix.lower() in PICTURES else path.stem
    digest = file_sha256(path) or ""
    return embedding_of(stored, name, facts, digest=digest[:AUTOV3_DIGITS], broken=lambda why: BrokenFile(path, why))


def embedding_of(
    stored: Mapping[str, Tensor],
    name: str,
    facts: Mapping[str, str],
    *,
    digest: str = "",
    bundled: bool = False,
    broken: Callable[[str], Exception] = ValueError,
) -> Embedding:
    """Make an embedding of the tensors of a file.

    Args:
        stored: by name.
        name: the word.
        facts: step, sd_checkpoint and sd_checkpoint_name, where they are known.
        digest: of the file.
        bundled: whether it came inside of a LoRA.
        broken: makes the error that is raised when the tensors are no embedding.
    """
    vectors = {encoder: _as_rows(value, broken) for encoder, value in _sorted(stored, broken).items()}
    if len({value.shape[0] for value in vectors.values()}) != 1:
        raise broken("its parts for different text encoders have different numbers of vectors")
    step = facts.get("step", "")
    return Embedding(
        name=name,
        vectors=vectors,
        digest=digest,
        step=int(step) if step.isdecimal() and len(step) < 20 else None,
        sd_checkpoint=facts.get("sd_checkpoint"),
        sd_checkpoint_name=facts.get("sd_checkpoint_name"),
        bundled=bundled,
    )


def _wanted(names: tuple[str, ...]) -> list[str]:
    """Leave out what lies beside the vectors."""
    return [name for name in names if not name.startswith("string_to_token.")]


def _sorted(stored: Mapping[str, Tensor], broken: Callable[[str], Exception]) -> dict[str, Tensor]:
    """Return the vectors by text encoder."""
    trained = [value for name, value in stored.items() if name.startswith(_A1111)]
    if len(trained) == 1:
        return {ONLY: trained[0]}
    named = {_ENCODERS[name]: value for name, value in stored.items() if name in _ENCODERS}
    if named:
        return named
    if "emb_params" in stored:
        return {ONLY: stored["emb_params"]}
    if len(stored) == 1:
        return {ONLY: next(iter(stored.values()))}
    raise broken(f"is no textual inversion embedding: it holds {len(stored)} tensors, of which none tells its use")


def _as_rows(value: Tensor, broken: Callable[[str], Exception]) -> Tensor:
    value = value[None] if value.ndim == 1 else value
    if value.ndim != 2 or not value.is_floating_point() or not math.prod(value.shape):
        raise broken(f"is no textual inversion embedding: a tensor of shape {tuple(value.shape)} holds no vectors")
    if not bool(torch.isfinite(value.float()).all()):
        raise broken("its vectors are not finite numbers")
    return value
