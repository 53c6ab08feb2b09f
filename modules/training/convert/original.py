"""Write any model as one file in the original layout."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.domain.merge import AS_STORED
from modules.families import identify, identify_files
from modules.families.facts import BETA_END, BETA_START, IMAGE_SIZE, TIMESTEPS
from modules.families.family import Files, Match
from modules.families.folder_config import folder_config
from modules.families.opening import OpenModel, open_checkpoint
from modules.families.sd1 import defaults as sd1
from modules.families.sdxl import defaults as sdxl
from modules.files import atomic
from modules.library.folders import read_model_header
from modules.library.header import Header
from modules.library.sidecars import config_path
from modules.training.merge.plan import copied
from modules.training.merge.recipe import own_metadata
from modules.training.merge.source import model_of
from modules.training.merge.stream import Entry, check_room, file_pieces, in_file_order, total_bytes

USUAL: Mapping[str, Any] = {
    "unet_heads": sd1.UNET_HEADS, "unet_norm_groups": sd1.NORM_GROUPS, "vae_norm_groups": sd1.NORM_GROUPS,
    "beta_start": BETA_START, "beta_end": BETA_END, "timesteps": TIMESTEPS,
}  # fmt: skip
"""Facts that need not be stated."""
IMAGE_SIZES = (64, 96, 128)
"""Sides of latents that lineages are known by."""
MARKS = ("v_pred", "ztsnr")
"""Empty tensors by which programs know a checkpoint that predicts velocity, and one with a schedule that ends in noise."""


def to_original(files: Files, target: Path, precision: str = AS_STORED) -> Path:
    """Write a model as one safetensors file, and a yaml file beside it if the model is of unusual sizes.

    Args:
        files: a folder of diffusers, or a file in any layout.
        target: the file; the suffix `.safetensors` is added if it is missing.
        precision: of `modules.domain.merge.PRECISIONS`.

    Returns:
        The file.

    Raises:
        InvalidRequest: the target exists.
        ModelError: the model cannot be read, or is of no known lineage.
        StorageFault: the disk has no room or refuses.
    """
    path = target if target.suffix == ".safetensors" else target.with_name(f"{target.name}.safetensors")
    if path.exists() or path.with_suffix(".yaml").exists():
        raise InvalidRequest(f"{path} or the yaml file beside it exists already; choose another name")
    family, match = identify_files(files)
    with open_checkpoint(files) as file:
        entries = [copied(name, one, precision) for name, one in model_of(file).items()]
        entries += _marks(match, file) if family.id != "sd2" else []
        entries = in_file_order(entries)
        check_room(atomic.make_folder(path.parent), total_bytes(entries))
        if not atomic.create_from(path, file_pieces(entries, _metadata(match, file))):
            raise InvalidRequest(f"{path} exists already; choose another name")
        config = _config(files, match, file)
    if config:
        atomic.write(path.with_suffix(".yaml"), config)
    return path


def _metadata(match: Match, file: OpenModel) -> dict[str, str]:
    stated = {} if match.config.get("prediction_by_weights") else {"modelspec.prediction_type": match.prediction}
    return {**stated, **own_metadata(file.header), "format": "pt"}


def _marks(match: Match, file: OpenModel) -> Iterator[Entry]:
    wanted = (match.prediction == "v", bool(match.config.get("zero_terminal_snr")))
    for name, wants in zip(MARKS, wanted, strict=True):
        if wants and name not in file.header.tensors:
            yield Entry(name=name, shape=(0,), dtype=torch.float32, pieces=lambda: [Tensor()])


def _config(files: Files, match: Match, file: OpenModel) -> str:
    """Return what has to stand beside the file: the yaml of the source, or the facts of a folder that are unusual."""
    if files.config is not None:
        return files.config.read_text(encoding="utf-8")
    stated = folder_config(read_model_header(files.checkpoint, allow_unsafe=files.allow_unsafe).metadata)
    return yaml.safe_dump(dict(stated), sort_keys=False) if stated and is_unusual(match, file.header) else ""


def is_unusual(match: Match, header: Header) -> bool:
    """Tell whether a model has sizes or a training that its tensors and metadata do not show."""
    _, plain = identify(Header(header.path, header.tensors, {}), {})
    usual = {**USUAL, "latent_scale": latent_scale(match), **plain.config}
    told = {name: value for name, value in match.config.items() if name not in ("zero_terminal_snr", "image_size")}
    sized = match.config.get("image_size", IMAGE_SIZE) in IMAGE_SIZES
    return not sized or match.prediction == "x0" or any(value != usual.get(name) for name, value in told.items())


def latent_scale(match: Match) -> float:
    """Return the factor between what the VAE of a lineage makes and what its UNet sees."""
    return (sdxl if match.family == "sdxl" else sd1).LATENT.scale


def source_files(path: Path) -> Files:
    """Describe a model by its path, the yaml file beside it included."""
    return Files(checkpoint=path, config=None if path.is_dir() else config_path(path))
