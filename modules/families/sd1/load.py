"""Read a Stable Diffusion v1 checkpoint into its three networks."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import torch

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.families.family import Build, Files
from modules.families.loading import build, fill
from modules.families.opening import open_checkpoint, open_vae
from modules.families.recognise import describe
from modules.families.sd1.keys import (
    UNET_PREFIX,
    VAE_PREFIX,
    Shapes,
    text_config,
    text_names,
    unet_config,
    unet_names,
    vae_config,
    vae_names,
)
from modules.families.sd1.network import UNet
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE
from modules.library.tensors import Tensors
from modules.nn.eight_bit import Storing, stored_ops

Config = TypeVar("Config")

WIDE_LATENT = 16
"""Channels of the latents of later lineages."""


def load_networks(files: Files, facts: Mapping[str, Any], made: Build) -> tuple[TextEncoder, UNet, VAE]:
    """Build and fill text encoder, UNet and VAE.

    Args:
        files: the checkpoint, and a VAE file that takes the place of the checkpoint's own.
        facts: `Match.config`.
        made: layers, attention, device and number formats.

    Raises:
        BrokenFile: tensors missing, unexpected or of a wrong shape, or sizes that contradict each other.
        UnsupportedCheckpoint: the VAE file is something else.
    """
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(files))
        names = checkpoint.header.tensors
        stored = text_names(names)
        sizes = infer(checkpoint, stored, text_config, facts)
        text = build(files.checkpoint, lambda: TextEncoder(sizes))
        fill_part(text, "text encoder", stored, checkpoint, made, made.text_dtype)
        text.place_buffers(made.device)
        unet = load_unet(checkpoint, facts, made, context_dim=sizes.width)
        source = stack.enter_context(open_vae(files.vae, allow_unsafe=files.allow_unsafe)) if files.vae else checkpoint
        return text, unet, load_vae(source, facts, made)


def load_unet(
    file: Tensors, facts: Mapping[str, Any], made: Build, *, context_dim: int, vector_dim: int | None = None
) -> UNet:
    """Build and fill the UNet of a checkpoint.

    Args:
        file: the checkpoint.
        facts: `Match.config`.
        made: layers, attention, device and number formats.
        context_dim: width of the encoded text it will get.
        vector_dim: width of what it will be told besides.

    Raises:
        BrokenFile: tensors missing, unexpected or of a wrong shape, or a network that expects other inputs.
    """
    path, stored = file.header.path, unet_names(file.header.tensors)
    sizes = infer(file, stored, unet_config, facts)
    if sizes.context_dim != context_dim:
        raise BrokenFile(path, f"its text encoder is {context_dim} wide, but its UNet expects {sizes.context_dim}")
    if sizes.vector_dim != vector_dim:
        raise BrokenFile(path, f"its UNet expects {sizes.vector_dim} numbers besides the text, not {vector_dim}")
    has_8_bit = any(file.header.tensors[name].dtype.startswith("F8_") for name in stored.values())
    able = made.device.type != "mps"  # which knows no such numbers
    storing = Storing(round_all=made.fp8, keep_half=made.keep_half) if able and (made.fp8 or has_8_bit) else None
    ops = stored_ops(made.ops) if storing else made.ops
    unet = build(path, lambda: UNet(sizes, ops, made.attend))
    fill_part(unet, "UNet", stored, file, made, made.dtype, storing=storing)
    return unet


def load_vae(file: Tensors, facts: Mapping[str, Any], made: Build) -> VAE:
    """Build and fill the VAE of a checkpoint, or that of a VAE's own file; arguments as for `load_unet`.

    Raises:
        BrokenFile: no VAE, or tensors missing, unexpected or of a wrong shape.
        UnsupportedCheckpoint: a file of its own that is something else.
    """
    _require_vae(file)
    stored = vae_names(file.header.tensors)
    config = infer(file, stored, vae_config, facts)
    vae = build(file.header.path, lambda: VAE(config, made.ops, made.attend))
    fill_part(vae, "VAE", stored, file, made, made.vae_dtype)
    if made.device.type == "cpu":  # decodes 1.07 times as fast; the UNet would be slower that way
        vae.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] -- missing from the overloads
    return vae


def _require_vae(file: Tensors) -> None:
    """Tell a checkpoint without a VAE, and a VAE file that is none, from a broken VAE."""
    names, path = vae_names(file.header.tensors), file.header.path
    if "decoder.up.0.block.0.conv1.weight" in names or any(name.startswith(VAE_PREFIX) for name in file.header.tensors):
        wide = names.get("decoder.conv_in.weight", "")
        if wide and file.header.tensors[wide].shape[1:2] == (WIDE_LATENT,):
            hint = f"Its latents have {WIDE_LATENT} channels; it belongs to FLUX.1 or Stable Diffusion 3."
            raise UnsupportedCheckpoint(path, tried=["VAE"], hint=hint)
        return
    if any(name.startswith(UNET_PREFIX) for name in file.header.tensors):
        raise BrokenFile(path, "holds no VAE; put one in models/VAE and choose it in the settings")
    raise UnsupportedCheckpoint(path, tried=["VAE"], hint=describe(file.header) or "It is not a VAE.")


def infer(
    file: Tensors,
    stored: Mapping[str, str],
    told: Callable[[Shapes, Mapping[str, Any]], Config],
    facts: Mapping[str, Any],
) -> Config:
    """Tell the sizes of a network from the shapes of its tensors.

    Args:
        file: holds them.
        stored: name in the network -> name in the file.
        told: (shapes by name in the network, facts) -> sizes.
        facts: `Match.config`.

    Raises:
        BrokenFile: a tensor that tells a size is missing, or sizes contradict each other.
    """
    path: Path = file.header.path
    shapes = {name: file.header.tensors[key].shape for name, key in stored.items()}
    try:
        return told(shapes, facts)
    except KeyError as error:
        raise BrokenFile(path, f"tensor {error.args[0]} is missing") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise BrokenFile(path, f"has tensors whose shapes do not fit together: {error}") from error


def fill_part(
    module: torch.nn.Module,
    part: str,
    stored: Mapping[str, str],
    file: Tensors,
    made: Build,
    dtype: torch.dtype,
    *,
    storing: Storing | None = None,
) -> None:
    """Assign every tensor of a network from a file; strict, as `loading.fill`."""
    fill(
        module, part, stored, file.get, path=file.header.path, device=made.device, dtype=dtype, storing=storing,
        stored_tensor=file.stored,
    )  # fmt: skip
