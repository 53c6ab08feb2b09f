"""Checkpoints of SD 2 and SDXL in the real layout with narrow networks, and manifests that load without weights."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from modules.families import identify, opening
from modules.families.family import Build, Components, Files
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sd1.vae import VAE, VAEConfig
from modules.library.header import Header, TensorInfo, read_header
from modules.nn.attention.sdpa import SDPA
from modules.nn.ops import PLAIN_OPS

VAE_SIZES = VAEConfig(channels=8, channel_mult=(1, 2, 2, 2), num_res_blocks=1, norm_groups=4)
CONFIG: dict[str, Any] = {
    "model": {
        "params": {
            "unet_config": {"params": {"num_heads": 4, "norm_groups": 8}},
            "first_stage_config": {"params": {"ddconfig": {"norm_groups": 4}}},
            "cond_stage_config": {"params": {"num_heads": 4}},
        }
    }
}


def unet_sizes(*, context_dim: int, vector_dim: int | None = None, in_channels: int = 4) -> UNetConfig:
    """Return the sizes of a narrow UNet in the way of the later models."""
    return UNetConfig(
        in_channels=in_channels,
        model_channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(1, 2),
        middle_depth=2,
        context_dim=context_dim,
        num_heads=4,
        linear_projection=True,
        vector_dim=vector_dim,
        norm_groups=8,
    )


def tensors_of(prefix: str, text: nn.Module, unet: UNetConfig) -> dict[str, Tensor]:
    """Return the tensors of a whole checkpoint; those of the text encoders lie below `prefix`."""
    parts: dict[str, nn.Module] = {
        prefix: text, "model.diffusion_model.": UNet(unet), "first_stage_model.": VAE(VAE_SIZES)
    }  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    return {
        start + name: 0.2 * torch.randn(tensor.shape, generator=generator)
        for start, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def loaded(path: Path, tensors: dict[str, Tensor], config: dict[str, Any] = CONFIG) -> Components:
    """Write a checkpoint, recognise it and load it."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    family, match = identify(read_header(path), config)
    return family.load(Files(checkpoint=path), match, build("cpu"))


def build(device: str) -> Build:
    """Return plain layers in float32."""
    at, full = torch.device(device), torch.float32
    return Build(ops=PLAIN_OPS, attend=SDPA, device=at, dtype=full, text_dtype=full, vae_dtype=full)


class _Weightless:
    """A file that has names and shapes only, and remembers what was read."""

    def __init__(self, header: Header) -> None:
        self.header, self.read = header, set[str]()
        self.names = tuple(header.tensors)

    def get(self, name: str) -> Tensor:
        """Return zeros for the small tensors, whose values may be looked at, and nothing for the others."""
        self.read.add(name)
        shape = self.header.tensors[name].shape
        return torch.zeros(shape) if len(shape) < 2 else torch.empty(shape, device="meta")


def manifest_header(shared_dir: Path, name: str) -> Header:
    """Return the header of a public checkpoint."""
    path, document = _manifest(shared_dir, name)
    return Header(path, _infos(document["tensors"]), document.get("metadata") or {})


def variant_headers(shared_dir: Path, name: str) -> dict[str, Header]:
    """Return by name the variants of a public checkpoint that lack some tensors or have some more."""
    path, document = _manifest(shared_dir, name)
    found: dict[str, Header] = {}
    for one in document["variants"]:
        if ("drop" in one or "add" in one) and "rename" not in one:
            drop = one.get("drop", ())
            kept = {k: v for k, v in document["tensors"].items() if not any(fnmatch(k, glob) for glob in drop)}
            found[one["name"]] = Header(path, _infos({**kept, **one.get("add", {})}), {})
    return found


def _manifest(shared_dir: Path, name: str) -> tuple[Path, dict[str, Any]]:
    path = shared_dir / "manifests" / "checkpoints" / f"{name}.json.gz"
    with gzip.open(path, "rt") as file:
        return path, json.load(file)


def _infos(tensors: dict[str, Any]) -> dict[str, TensorInfo]:
    return {key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in tensors.items()}


def load_without_weights(header: Header, monkeypatch: pytest.MonkeyPatch) -> tuple[Components, set[str]]:
    """Load a file of which only the header exists, on the meta device.

    Returns:
        The model, and the names that were not read.
    """
    file = _Weightless(header)

    @contextmanager
    def opened(_path: Path, *, allow_unsafe: bool) -> Iterator[_Weightless]:
        yield file

    monkeypatch.setattr(opening, "open_model", opened)
    family, match = identify(header, {})
    model = family.load(Files(checkpoint=header.path), match, build("meta"))
    return model, set(file.names) - file.read
