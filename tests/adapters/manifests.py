"""Headers of public LoRA files, and models of public sizes without weights."""

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modules.adapters.lora.bind import Bound, ShapeOf, bind
from modules.adapters.lora.file import Contents, contents_of, made_of
from modules.families.family import Components
from modules.library.header import Header, TensorInfo
from modules.nn.patches.key_map import KeyMap
from tests.families.narrow_files import load_without_weights, manifest_header


def lora_manifest(shared_dir: Path, name: str) -> dict[str, Any]:
    with gzip.open(shared_dir / "manifests" / "lora" / f"{name}.json.gz", "rt") as file:
        return json.load(file)


def lora_header(shared_dir: Path, name: str) -> Header:
    document = lora_manifest(shared_dir, name)
    infos = {key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in document["tensors"].items()}
    return Header(Path(f"{name}.safetensors"), infos, document.get("metadata") or {})


def weightless(header: Header) -> Callable[[str], Tensor]:
    """Return a reader that gives numbers for single values and shapes only for the rest."""

    def get(name: str) -> Tensor:
        if name.endswith(".on_input"):
            return torch.tensor("_ff_net_2" in name)
        shape = header.tensors[name].shape
        return torch.ones(()) if not shape else torch.empty(shape, device="meta")

    return get


@cache
def model_of(shared_dir: Path, checkpoint: str) -> Components:
    """Load a public checkpoint's header as a model on the meta device."""
    with pytest.MonkeyPatch.context() as patch:
        return load_without_weights(manifest_header(shared_dir, checkpoint), patch)[0]


@cache
def keys_of(shared_dir: Path, checkpoint: str) -> KeyMap:
    model = model_of(shared_dir, checkpoint)
    return model.family.key_map(model)


def shapes_of(model: Components) -> ShapeOf:
    tensors = {"unet": model.unet.state_dict(), "text": model.text.state_dict()}

    def shape_of(part: str, name: str) -> tuple[int, ...] | None:
        found = tensors[part].get(name)
        return None if found is None else tuple(found.shape)

    return shape_of


def bound(shared_dir: Path, lora: str, checkpoint: str) -> tuple[Contents, Bound]:
    header = lora_header(shared_dir, lora)
    contents = contents_of(header)
    file = made_of(contents, weightless(header), header.path)
    assert not file.faults
    model = model_of(shared_dir, checkpoint)
    return contents, bind(file, keys_of(shared_dir, checkpoint), shapes_of(model))
