"""Read a Stable Diffusion XL checkpoint into its networks."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

from modules.domain.errors import BrokenFile
from modules.families.facts import EDM_MARKER
from modules.families.family import Build, Files, Match
from modules.families.loading import build
from modules.families.openclip import openclip_config
from modules.families.opening import open_checkpoint, open_vae
from modules.families.sd1.keys import text_config
from modules.families.sd1.load import fill_part, infer, load_unet, load_vae
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.families.sdxl.defaults import NUMBER_WIDTH
from modules.families.sdxl.text import TextEncoders, large_index, large_names, small_names
from modules.library.tensors import Tensors


def load_networks(files: Files, facts: Mapping[str, Any], made: Build, *, told: int) -> tuple[TextEncoders, UNet, VAE]:
    """Build and fill text encoders, UNet and VAE.

    Args:
        files: the checkpoint, and a VAE file that takes the place of the checkpoint's own.
        facts: `Match.config`.
        made: layers, attention, device and number formats.
        told: how many numbers the UNet is told of the picture.

    Raises:
        BrokenFile: tensors missing, unexpected or of a wrong shape, or sizes that contradict each other.
        UnsupportedCheckpoint: the VAE file is something else.
    """
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(files))
        text = _load_text(checkpoint, facts, made)
        projection = text.large.config.projection
        if projection is None:
            raise BrokenFile(files.checkpoint, "tensor text_projection of its larger text encoder is missing")
        unet = load_unet(checkpoint, facts, made, context_dim=text.width, vector_dim=projection + told * NUMBER_WIDTH)
        source = stack.enter_context(open_vae(files.vae, allow_unsafe=files.allow_unsafe)) if files.vae else checkpoint
        return text, unet, load_vae(source, facts, made)


def with_edm_range(match: Match, files: Files) -> Match:
    """Return a match with the noise levels that a network of all levels has in its file."""
    if "edm_range" not in match.config:
        return match
    with open_checkpoint(files) as file:
        known = zip(("edm_vpred.sigma_min", EDM_MARKER), match.config["edm_range"], strict=True)
        low, high = (float(file.get(name)) if name in file.names else usual for name, usual in known)
    if not 0 < low < high < inf:
        raise BrokenFile(files.checkpoint, f"has noise levels from {low:g} to {high:g}")
    return replace(match, config=MappingProxyType({**match.config, "edm_range": (low, high)}))


def _load_text(file: Tensors, facts: Mapping[str, Any], made: Build) -> TextEncoders:
    path, names = file.header.path, file.header.tensors
    small, large = small_names(names), large_names(names)
    sizes = infer(file, small, text_config, facts) if small else None
    large_sizes = infer(file, large, openclip_config, facts)
    text = build(path, lambda: TextEncoders(sizes, large_sizes))
    stored = {f"embedders.0.{name}": key for name, key in small.items()}
    stored |= {f"embedders.{large_index(names)}.{name}": key for name, key in large.items()}
    fill_part(text, "text encoder", stored, file, made, made.text_dtype)
    if text.small is not None:
        text.small.place_buffers(made.device)
    return text
