"""Write any model as a folder in the layout of diffusers, which `from_pretrained` loads."""

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modules.domain.errors import InvalidRequest, UnsupportedCheckpoint
from modules.domain.merge import AS_STORED
from modules.families import identify_files
from modules.families.family import Files, Match
from modules.families.openclip import OpenClipConfig, openclip_config
from modules.families.opening import OpenModel, open_checkpoint
from modules.families.pairs import Pair, to_diffusers
from modules.families.parts import Layout, Part, Role, find_parts
from modules.families.sd1.keys import TextConfig, text_config, unet_config, vae_config
from modules.families.sd2.load import predicted
from modules.files import atomic
from modules.nn.clip_tokenizer import load_clip_tokenizer
from modules.training.convert import configs
from modules.training.convert.original import latent_scale
from modules.training.merge.arithmetic import cast, result_dtype
from modules.training.merge.source import Stored, stored
from modules.training.merge.stream import Entry, check_room, file_pieces, flat_pieces, in_file_order, total_bytes

UNET_FILE, TEXT_FILE = "diffusion_pytorch_model.safetensors", "model.safetensors"
V_IMAGE_SIZE = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One sub-folder with weights."""

    config: Mapping[str, Any]
    file: str
    entries: Sequence[Entry] = field(repr=False)


def to_diffusers_folder(files: Files, target: Path, precision: str = AS_STORED) -> Path:
    """Write a model as a folder. Nothing is left when that fails on the way.

    Args:
        files: a file in any layout, or a folder.
        target: the folder, which must not exist.
        precision: of `modules.domain.merge.PRECISIONS`.

    Returns:
        The folder.

    Raises:
        InvalidRequest: the target exists.
        UnsupportedCheckpoint: the model is of a kind without such a layout.
        ModelError: the model cannot be read.
        StorageFault: the disk has no room or refuses.
    """
    if target.exists():
        raise InvalidRequest(f"{target} exists already; choose another name")
    _, match = identify_files(files)
    with open_checkpoint(files) as file:
        index = configs.index_json(file.header, match)
        prediction = predicted(file) if match.config.get("prediction_by_weights") else match.prediction
        components = _components(file, match, prediction, precision)
        check_room(atomic.make_folder(target.parent), sum(total_bytes(one.entries) for one in components.values()))
        temp = target.with_name(f".{secrets.token_hex(6)}.tmp")
        try:
            _write(temp, index, components, configs.scheduler_json(match, prediction))
            temp.rename(target)
        finally:
            shutil.rmtree(temp, ignore_errors=True)
    return target


def _components(file: OpenModel, match: Match, prediction: str, precision: str) -> dict[str, Component]:
    parts = find_parts(file.header)
    makers: Mapping[Role, Callable[[OpenModel, Match, Part, str], tuple[str, Component]]] = {
        Role.UNET: partial(_unet, prediction), Role.VAE: _vae, Role.SMALL: _text, Role.LARGE: _text,
    }  # fmt: skip
    made = dict(makers[part.role](file, match, part, precision) for part in parts)
    if lacking := [name for name in ("unet", "vae") if name not in made]:
        raise UnsupportedCheckpoint(file.header.path, hint=f"It has no {lacking[0]} to write.")
    return made


def _unet(prediction: str, file: OpenModel, match: Match, part: Part, precision: str) -> tuple[str, Component]:
    config = configs.unet_json(file.header, match, unet_config(_original_shapes(part), match.config))
    if match.family == "sd2" and prediction == "v":
        config["sample_size"] = max(config["sample_size"], V_IMAGE_SIZE)
    return "unet", Component(config=config, file=UNET_FILE, entries=_entries(file, part, precision))


def _vae(file: OpenModel, match: Match, part: Part, precision: str) -> tuple[str, Component]:
    scale = match.config.get("latent_scale", latent_scale(match))
    config = configs.vae_json(file.header, match, vae_config(_original_shapes(part), match.config), scale)
    # The VAE keeps half precision where the rest is stored in 8 bits; its bare names do not tell that it is one.
    return "vae", Component(
        config=config, file=UNET_FILE, entries=_entries(file, part, precision, "first_stage_model.")
    )


def _text(file: OpenModel, match: Match, part: Part, precision: str) -> tuple[str, Component]:
    large, second = part.role is Role.LARGE, match.family == "sdxl" and part.role is Role.LARGE
    shapes = _original_shapes(part)
    sizes: TextConfig | OpenClipConfig = (openclip_config if large else text_config)(shapes, match.config)
    # Version 2 reads the last layer but one; pipelines read the last, so the unread layer is left out.
    unread = isinstance(sizes, OpenClipConfig) and not second and sizes.projection is not None
    layers = sizes.layers - 1 if unread else sizes.layers
    ending = (f"text_model.encoder.layers.{layers}.",) if unread else ()
    dropped = () if second else ("text_projection.", *ending)
    config = configs.text_json(sizes, layers, projected=second)
    entries = [entry for entry in _entries(file, part, precision) if not entry.name.startswith(dropped or ("\0",))]
    return "text_encoder_2" if second else "text_encoder", Component(config=config, file=TEXT_FILE, entries=entries)


def _original_shapes(part: Part) -> dict[str, tuple[int, ...]]:
    return {pair.original: part.shapes[_name(part, pair)] for pair in part.pairs()}


def _name(part: Part, pair: Pair) -> str:
    """Return the name of a tensor among those of its part; the small encoder's lack what the original puts in front."""
    return pair.original if part.layout is Layout.ORIGINAL and part.role is not Role.SMALL else pair.diffusers[0]


def _entries(file: OpenModel, part: Part, precision: str, place: str = "") -> list[Entry]:
    return [entry for pair in part.pairs() for entry in _split(file, part, pair, precision, place)]


def _split(file: OpenModel, part: Part, pair: Pair, precision: str, place: str) -> Iterator[Entry]:
    """Yield the tensors of diffusers that one of the original becomes."""
    one = stored(file, part.stored[_name(part, pair)])
    shapes = {name: tuple(t.shape) for name, t in to_diffusers(pair, torch.empty(one.shape, device="meta")).items()}
    for name, shape in shapes.items():
        dtype = result_dtype(place + name, len(shape), one.dtype, precision)
        yield Entry(name=name, shape=shape, dtype=dtype, pieces=partial(_pieces, one, pair, name, dtype))


def _pieces(one: Stored, pair: Pair, name: str, dtype: torch.dtype) -> Iterator[Tensor]:
    return (cast(piece, dtype) for piece in flat_pieces(to_diffusers(pair, one.read())[name]))


def _write(
    folder: Path, index: Mapping[str, Any], components: Mapping[str, Component], scheduler: Mapping[str, Any]
) -> None:
    for name, component in components.items():
        below = atomic.make_folder(folder / name)
        entries = in_file_order(component.entries)
        _write_json(below / "config.json", component.config)
        atomic.create_from(below / component.file, file_pieces(entries, {"format": "pt"}))
    _write_json(atomic.make_folder(folder / "scheduler") / "scheduler_config.json", scheduler)
    tokenizer = load_clip_tokenizer()
    for name, text in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        if text in components:
            large = components[text].config["hidden_act"] == "gelu"
            below = atomic.make_folder(folder / name)
            for file, content in configs.tokenizer_files(tokenizer, large=large).items():
                atomic.write(
                    below / file, content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                )
    _write_json(folder / "model_index.json", index)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    atomic.write(path, json.dumps(value, indent=2) + "\n")
