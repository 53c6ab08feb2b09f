"""What somebody asked the checkpoint merger for, and what it gave back."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.param import param

NO_INTERPOLATION, WEIGHTED_SUM, ADD_DIFFERENCE = "No interpolation", "Weighted sum", "Add difference"
METHODS = (NO_INTERPOLATION, WEIGHTED_SUM, ADD_DIFFERENCE)
FORMATS = ("ckpt", "safetensors")
AS_STORED, FLOAT16, BFLOAT16, FLOAT8 = "as stored", "float16", "bfloat16", "float8_e4m3fn"
PRECISIONS = (AS_STORED, FLOAT16, BFLOAT16, FLOAT8)
CONFIG_SOURCES = ("A, B or C", "B", "C", "Don't")
NO_MODEL = "None"

MAX_NAME_CHARS = 1000
MAX_PATTERN_CHARS = 1000
MAX_METADATA_CHARS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """A checkpoint to be made of one, two or three others. Field names are the arguments of A1111's merger."""

    primary_model_name: str = param(
        "", label="Primary model (A)", choices="checkpoints", elem_id="modelmerger_primary_model_name",
        help="Any name of a checkpoint: its title, file name or hash.",
    )  # fmt: skip
    secondary_model_name: str = param(
        "", label="Secondary model (B)", choices="checkpoints", elem_id="modelmerger_secondary_model_name",
        help="Needed by Weighted sum and Add difference.",
    )  # fmt: skip
    tertiary_model_name: str = param(
        "", label="Tertiary model (C)", choices="checkpoints", elem_id="modelmerger_tertiary_model_name",
        help="Needed by Add difference.",
    )  # fmt: skip
    interp_method: str = param(
        WEIGHTED_SUM, label="Interpolation Method", choices=METHODS, elem_id="modelmerger_interp_method",
        help="Weighted sum: A * (1 - M) + B * M. Add difference: A + (B - C) * M. No interpolation: A.",
    )  # fmt: skip
    multiplier: float = param(
        0.3, label="Multiplier (M) - set to 0 to get model A", ge=-10, le=10, slider=(0, 1), step=0.05,
        elem_id="modelmerger_interp_amount",
    )  # fmt: skip
    custom_name: str = param(
        "", label="Custom Name (Optional)", elem_id="modelmerger_custom_name",
        help="File name of the result, without extension; empty makes one of the names of the models.",
    )  # fmt: skip
    checkpoint_format: str = param(
        "safetensors", label="Checkpoint format", choices=FORMATS, elem_id="modelmerger_checkpoint_format",
        help="ckpt is refused: such files can carry programs, and safetensors are read everywhere.",
    )  # fmt: skip
    precision: str = param(
        AS_STORED, label="Precision", choices=PRECISIONS, elem_id="modelmerger_precision",
        help="float8 keeps biases, norms and the VAE in float16.",
    )  # fmt: skip
    config_source: int = param(
        0, label="Copy config from", ge=0, le=3, elem_id="modelmerger_config_method",
        help="Whose yaml file is copied: 0 that of A, B or C, the first that has one; 1 B; 2 C; 3 none.",
    )  # fmt: skip
    bake_in_vae: str = param(
        NO_MODEL, label="Bake in VAE", choices="baked_vaes", elem_id="modelmerger_bake_in_vae",
        help="File name of a VAE that replaces the one in the checkpoint.",
    )  # fmt: skip
    discard_weights: str = param(
        "", label="Discard weights with matching name", elem_id="modelmerger_discard_weights",
        help="A regular expression; tensors whose name it is found in are left out.",
    )  # fmt: skip
    save_metadata: bool = param(True, label="Save metadata", elem_id="modelmerger_save_metadata")
    add_merge_recipe: bool = param(
        True, label="Add merge recipe metadata", elem_id="modelmerger_add_merge_recipe",
        help="Write into the file what it was made of.",
    )  # fmt: skip
    copy_metadata_fields: bool = param(
        True, label="Copy metadata from merged models", elem_id="modelmerger_copy_metadata_fields",
        help="What the models say about themselves; A before B before C where they differ.",
    )  # fmt: skip
    metadata_json: str = param(
        "{}", label="Metadata in JSON format", elem_id="modelmerger_metadata_json",
        help="A JSON object that is written into the file, over what was copied.",
    )  # fmt: skip

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that the method uses, A first."""
        names = (self.primary_model_name, self.secondary_model_name, self.tertiary_model_name)
        return names[: METHODS.index(self.interp_method) + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge left."""

    path: Path | None
    """The new checkpoint; None when the merge was interrupted."""
    notes: tuple[str, ...] = ()
    """What a person should know about it."""

    @property
    def interrupted(self) -> bool:
        """Whether the merge was ended early; then there is no file."""
        return self.path is None


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "interp_method": METHODS,
    "checkpoint_format": FORMATS,
    "precision": PRECISIONS,
}


def check_merge(request: MergeRequest) -> None:
    """Refuse a request that no names have to be looked up for to see that it cannot be carried out.

    Raises:
        InvalidRequest: a value out of range, a model missing, a bad pattern or bad JSON; names the field.
        LimitExceeded: a text that is too long.
    """
    for name, known in _CHOICES.items():
        if getattr(request, name) not in known:
            raise InvalidRequest(f"{getattr(request, name)[:80]!r} is none of {', '.join(known)}", field=name)
    if request.checkpoint_format == "ckpt":
        raise InvalidRequest(
            "ckpt files can carry programs and are only read, not written; choose safetensors",
            field="checkpoint_format",
        )
    if not -10 <= request.multiplier <= 10:
        raise InvalidRequest(f"{request.multiplier} is not between -10 and 10", field="multiplier")
    if request.config_source not in range(len(CONFIG_SOURCES)):
        raise InvalidRequest(f"{request.config_source} is not between 0 and 3", field="config_source")
    _check_lengths(request)
    _check_models(request)
    check_pattern(request.discard_weights)
    read_metadata_json(request.metadata_json)


def _check_lengths(request: MergeRequest) -> None:
    names = ("primary_model_name", "secondary_model_name", "tertiary_model_name", "custom_name", "bake_in_vae")
    limits = dict.fromkeys(names, MAX_NAME_CHARS)
    limits |= {"discard_weights": MAX_PATTERN_CHARS, "metadata_json": MAX_METADATA_CHARS}
    for name, most in limits.items():
        length = len(getattr(request, name))
        if length > most:
            raise LimitExceeded(name, f"{length} characters", most)


def _check_models(request: MergeRequest) -> None:
    fields = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
    for field, letter, name in zip(fields, "ABC", request.models, strict=False):
        if name in ("", NO_MODEL):
            raise InvalidRequest(f"{request.interp_method} needs a model {letter}; choose one", field=field)


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression that does not parse.

    Raises:
        InvalidRequest: it does not parse.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"not a regular expression: {error}", field="discard_weights") from None


def read_metadata_json(text: str) -> Mapping[str, Any]:
    """Read the metadata that somebody wrote.

    Raises:
        InvalidRequest: not a JSON object.
    """
    try:
        value = json.loads(text or "{}")
        text.encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}", field="metadata_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest('expected a JSON object such as {"modelspec.title": "..."}', field="metadata_json")
    return cast("Mapping[str, Any]", value)
