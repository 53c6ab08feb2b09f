"""What a merged checkpoint is called, and what it says about itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest
from modules.domain.merge import ADD_DIFFERENCE, FLOAT16, WEIGHTED_SUM, MergeRequest, read_metadata_json
from modules.files.paths import safe_child, safe_name
from modules.library.header import Header

SUFFIX = ".safetensors"
MAX_STEM_BYTES = 200
MAX_TRIES = 1000
NOT_COPIED = frozenset(
    {"format", "modelspec.hash_sha256", "modelspec.thumbnail", "sshs_model_hash", "sshs_legacy_hash"}
)
"""Metadata that are true of one file only."""

OF_FIRST = frozenset({"modelspec.prediction_type"})
"""Metadata by which a file is loaded; the result is loaded as A is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """A model that went into a merge."""

    name: str
    """File name below the folder of checkpoints."""
    model_name: str
    """The same without extension, in one piece."""
    sha256: str | None
    old_hash: str | None
    """The 8 digits of early versions."""
    metadata: Mapping[str, str]


def automatic_name(request: MergeRequest, names: Sequence[str]) -> str:
    """Return A1111's name for a result: `0.7(a) + 0.3(b)`, `a + 0.3(b - c)` or `a`.

    Args:
        request: tells method and multiplier.
        names: of the models that the method uses.
    """
    part = round(request.multiplier, 2)
    if request.interp_method == WEIGHTED_SUM:
        return f"{round(1 - request.multiplier, 2)}({names[0]}) + {part}({names[1]})"
    if request.interp_method == ADD_DIFFERENCE:
        return f"{names[0]} + {part}({names[1]} - {names[2]})"
    return names[0]


def result_path(request: MergeRequest, names: Sequence[str], variant: str, folder: Path) -> Path:
    """Choose the file of the result. No file is ever replaced: an automatic name that is taken gets a number.

    Args:
        request: tells the name, or what it is made of.
        names: of the models that the method uses.
        variant: what the name ends in.
        folder: where checkpoints lie.

    Raises:
        InvalidRequest: the wanted name is taken.
        PathRefused: the wanted name is not a plain file name.
    """
    wanted = request.custom_name.strip().removesuffix(SUFFIX)
    if wanted:
        path = safe_child(folder, f"{wanted}{variant}{SUFFIX}")
        if path.exists():
            raise InvalidRequest(f"{path.name} exists already; choose another name", field="custom_name")
        return path
    stem = safe_name(automatic_name(request, names), MAX_STEM_BYTES)
    for number in range(1, MAX_TRIES):
        path = safe_child(folder, f"{stem}{f' ({number})' if number > 1 else ''}{variant}{SUFFIX}")
        if not path.exists():
            return path
    raise InvalidRequest(f"{stem} exists {MAX_TRIES} times; choose a name", field="custom_name")


def metadata_of(request: MergeRequest, models: Sequence[Ingredient], variant: str) -> dict[str, str]:
    """Return the metadata of the result.

    Args:
        request: tells what is wanted.
        models: those that the method uses, A first.
        variant: whether the result is one for inpainting or instructions.
    """
    if not request.save_metadata:
        return {"format": "pt"}
    found = copied_metadata([one.metadata for one in models]) if request.copy_metadata_fields else {}
    found |= read_metadata_json(request.metadata_json)
    if request.add_merge_recipe:
        found["sd_merge_recipe"] = recipe_of(request, models, variant)
        found["sd_merge_models"] = ancestors_of(models)
    return {
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()},
        "format": "pt",
    }


def own_metadata(header: Header) -> Mapping[str, str]:
    """Return what a safetensors file says about itself; other files say it in words of their own."""
    return header.metadata if header.path.suffix == SUFFIX and not header.path.is_dir() else {}


def copied_metadata(metadata: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Join what models say about themselves; the first one counts where they differ."""
    joined: dict[str, str] = {}
    for number, one in reversed(list(enumerate(metadata))):
        joined |= {key: value for key, value in one.items() if number == 0 or key not in OF_FIRST}
    return {key: value for key, value in joined.items() if key not in NOT_COPIED}


def recipe_of(request: MergeRequest, models: Sequence[Ingredient], variant: str) -> dict[str, Any]:
    """Return what the result was made of, in the form of A1111 (`sd_merge_recipe`)."""
    hashes = [one.sha256 for one in models] + [None, None]
    return {
        "type": "webui",
        "primary_model_hash": hashes[0],
        "secondary_model_hash": hashes[1],
        "tertiary_model_hash": hashes[2],
        "interp_method": request.interp_method,
        "multiplier": request.multiplier,
        "save_as_half": request.precision == FLOAT16,
        "custom_name": request.custom_name,
        "config_source": request.config_source,
        "bake_in_vae": request.bake_in_vae,
        "discard_weights": request.discard_weights,
        "is_inpainting": variant == ".inpainting",
        "is_instruct_pix2pix": variant == ".instruct-pix2pix",
    }


def ancestors_of(models: Sequence[Ingredient]) -> dict[str, Any]:
    """Return the models of this merge and of the merges they came from, by hash (`sd_merge_models`)."""
    found: dict[str, Any] = {}
    for one in models:
        own = {
            "name": one.name,
            "legacy_hash": one.old_hash,
            "sd_merge_recipe": _parsed(one.metadata.get("sd_merge_recipe")),
        }
        earlier = _parsed(one.metadata.get("sd_merge_models"))
        found |= (earlier if isinstance(earlier, dict) else {}) | {one.sha256 or one.name: own}
    return found


def _parsed(text: str | None) -> Any:
    """Read JSON from a stranger's metadata; what cannot be read says nothing."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
