"""Read a LoRA file: the patches of each layer it names, and embeddings that it brings along."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from modules.adapters.lora.kinds import LayerPatches, Stated, layer_patches
from modules.adapters.lora.lineage import lineage
from modules.adapters.lora.names import LayerName, parse
from modules.library.header import Header
from modules.library.tensors import open_tensors

PEFT_STEM, PEFT_CONFIG = "adapter_model", "adapter_config.json"
"""Names of the two files that PEFT writes into a folder."""
MAX_CONFIG_BYTES = 1 << 20
BUNDLED = "bundle_emb."
"""Beginning of the names of embeddings: `bundle_emb.<name>.<tensor>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a LoRA file holds, by name only."""

    layers: Mapping[LayerName, Mapping[str, str]]
    """Layer -> role -> name in the file."""
    bundled: Mapping[str, Mapping[str, str]]
    """Name of an embedding -> what its tensor is -> name in the file."""
    unknown: tuple[str, ...]
    """Names that mean nothing here."""
    lineage: str | None
    """Id of the models it fits, if that can be told."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraFile:
    """A LoRA in memory."""

    path: Path
    contents: Contents
    layers: Mapping[LayerName, LayerPatches]
    bundled: Mapping[str, Mapping[str, Tensor]]
    faults: Mapping[LayerName, str] = field(default_factory=lambda: MappingProxyType({}))
    """Layers whose tensors do not go together, and why."""


def contents_of(header: Header) -> Contents:
    """Sort the tensors of a file by layer."""
    layers, bundled, unknown = dict[LayerName, dict[str, str]](), dict[str, dict[str, str]](), list[str]()
    for name in header.tensors:
        if name.startswith(BUNDLED):
            word, _, key = name.removeprefix(BUNDLED).partition(".")
            bundled.setdefault(word, {})[key.removeprefix("string_to_param.")] = name
        elif found := parse(name):
            layers.setdefault(found[0], {})[found[1]] = name
        else:
            unknown.append(name)
    shapes = {
        layer: {role: header.tensors[name].shape for role, name in roles.items()} for layer, roles in layers.items()
    }
    return Contents(
        layers=layers, bundled=bundled, unknown=tuple(unknown), lineage=lineage(shapes, header.metadata)
    )  # fmt: skip


def read_lora(path: Path, *, allow_unsafe: bool = False) -> LoraFile:
    """Read a LoRA into main memory.

    Raises:
        BrokenFile: truncated, malformed or of another type.
        UnsafePickle: it asks for code and `allow_unsafe` is off.
    """
    with open_tensors(path, allow_unsafe=allow_unsafe) as file:
        return made_of(contents_of(file.header), file.get, path, stated=stated_scale(path))


def made_of(contents: Contents, get: Callable[[str], Tensor], path: Path, *, stated: Stated | None = None) -> LoraFile:
    """Make the patches of a file.

    Args:
        contents: its layers.
        get: reads a tensor by name.
        path: the file.
        stated: what lies beside it about the scale of layers that bring none.
    """
    layers, faults = dict[LayerName, LayerPatches](), dict[LayerName, str]()
    for layer, roles in contents.layers.items():
        try:
            layers[layer] = layer_patches({role: get(name) for role, name in roles.items()}, stated)
        except KeyError as error:
            faults[layer] = f"{error.args[0]} is missing"
        except (ValueError, IndexError, TypeError, RuntimeError) as error:
            faults[layer] = str(error)[:200]
    bundled = {
        word: {key: get(name) for key, name in tensors.items()} for word, tensors in contents.bundled.items()
    }  # fmt: skip
    return LoraFile(path=path, contents=contents, layers=layers, bundled=bundled, faults=faults)


def stated_scale(path: Path) -> Stated | None:
    """Read how the layers of a folder written by PEFT are scaled from the file beside its weights."""
    beside = path.with_name(PEFT_CONFIG)
    try:
        if path.stem != PEFT_STEM or beside.stat().st_size > MAX_CONFIG_BYTES:
            return None
        config = json.loads(beside.read_bytes())
        return Stated(alpha=float(config["lora_alpha"]), by_root=bool(config.get("use_rslora", False)))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
