"""Files that lie beside a model and share its name, and what the model says about itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

PREVIEW_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".jxl", ".avif")
MAX_SIDECAR_BYTES = 4 << 20

MODEL_SUFFIXES = frozenset({".ckpt", ".safetensors", ".sft", ".pt", ".pth", ".bin", *PREVIEW_SUFFIXES})
"""Endings of models; embeddings may be pictures."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def beside(model: Path, ending: str) -> Path:
    """Return the path of a file that goes with a model; a folder's name may hold dots of its own."""
    return model.with_name((model.stem if model.suffix.lower() in MODEL_SUFFIXES else model.name) + ending)


def config_path(model: Path) -> Path | None:
    """The `.yaml` that says how a checkpoint is built, if there is one."""
    path = beside(model, ".yaml")
    return path if path.is_file() else None


def preview_path(model: Path) -> Path | None:
    """The picture for a model's card: `<base>.png` or `<base>.preview.png`, in any of the formats."""
    for suffix in PREVIEW_SUFFIXES:
        for ending in (suffix, f".preview{suffix}"):
            path = beside(model, ending)
            if path.is_file():
                return path
    return None


def description(model: Path) -> str:
    """The text beside a model (`<base>.txt` or `<base>.description.txt`), empty if there is none."""
    for ending in (".txt", ".description.txt"):
        text = _read(beside(model, ending))
        if text is not None:
            return text
    return ""


def user_metadata(model: Path) -> Mapping[str, Any]:
    """What the user noted about a model (`<base>.json`); empty when there is nothing or it is damaged."""
    try:
        value = json.loads(_read(beside(model, ".json")) or "{}")
    except (ValueError, RecursionError):
        return _NOTHING
    return MappingProxyType(value) if isinstance(value, dict) else _NOTHING


COVER_IMAGES = "ssmd_cover_images"
"""Entry of metadata that holds pictures, a JSON list of base64 texts."""
PICTURES = ("modelspec.thumbnail", COVER_IMAGES)


def shown_metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    """A file's own metadata as people read it: nested JSON parsed, pictures left out."""
    return {key: _parsed(value) for key, value in metadata.items() if key not in PICTURES}


def _parsed(value: str) -> Any:
    if value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SIDECAR_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return None
