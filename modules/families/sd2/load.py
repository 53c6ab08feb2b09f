"""Read a Stable Diffusion v2 checkpoint into its networks."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.domain.errors import BrokenFile
from modules.families.depth import PREFIX as DEPTH_PREFIX
from modules.families.depth import DepthEye, depth_names
from modules.families.eye import Eye
from modules.families.family import Build, Files
from modules.families.loading import build
from modules.families.openclip import OpenClip, openclip_config, openclip_names
from modules.families.openclip_vision import VisionConfig, vision_config
from modules.families.opening import open_checkpoint, open_vae
from modules.families.sd1.keys import Shapes
from modules.families.sd1.load import fill_part, infer, load_unet, load_vae
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.families.sd2.unclip import STATISTICS, ImageEye, is_openai, read_statistics, visual_names
from modules.library.tensors import Tensors, open_tensors
from modules.nn.attention.select import with_wide_scores
from modules.nn.midas import midas_config

PREFIXES = ("cond_stage_model.", "conditioner.embedders.0.")
"""Where the text encoder lies: in the files of 2.0 and 2.1, and in those of SD Turbo."""
DEPTH_FILES = ("dpt_hybrid-midas-501f0c75.pt", "dpt_hybrid_384.pt")
"""Names of the depth estimator's own file in `models/midas`, by its two publishers."""

TELL_TALE = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
TOLD = "model.diffusion_model.label_emb.0.0.weight"
VELOCITY_SPREAD = 0.09


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """What a checkpoint holds."""

    text: OpenClip
    unet: UNet
    vae: VAE
    eye: Eye | None
    prediction: str
    """What the UNet predicts."""


def text_prefix(names: Iterable[str]) -> str | None:
    """Return what the names of the text encoder start with, None where there is no text encoder."""
    names = tuple(names)
    return next((one for one in PREFIXES if any(name.startswith(f"{one}model.") for name in names)), None)


def load_networks(
    files: Files, facts: Mapping[str, Any], made: Build, *, variant: str, prediction: str | None
) -> Networks:
    """Build and fill text encoder, UNet, VAE and what looks at pictures.

    Args:
        files: the checkpoint, and a VAE file that takes the place of the checkpoint's own.
        facts: `Match.config`.
        made: layers, attention, device and number formats.
        variant: `Match.variant`.
        prediction: eps, v or x0; None asks the weights.

    Raises:
        BrokenFile: tensors missing, unexpected or of a wrong shape, or sizes that contradict each other.
        UnsupportedCheckpoint: the VAE file is something else.
    """
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(files))
        stored = openclip_names(checkpoint.header.tensors, text_prefix(checkpoint.names) or PREFIXES[0])
        sizes = infer(checkpoint, stored, openclip_config, facts)
        text = build(files.checkpoint, lambda: OpenClip(sizes))
        fill_part(text, "text encoder", stored, checkpoint, made, made.text_dtype)
        eye = load_eye(checkpoint, files, made, variant)
        told = _told(checkpoint, eye) if variant == "unclip" else None
        wide = replace(made, attend=with_wide_scores(made.attend))  # the scores of 2.1 leave the range of float16
        unet = load_unet(checkpoint, facts, wide, context_dim=sizes.width, vector_dim=told)
        source = stack.enter_context(open_vae(files.vae, allow_unsafe=files.allow_unsafe)) if files.vae else checkpoint
        return Networks(
            text=text,
            unet=unet,
            vae=load_vae(source, facts, made),
            eye=eye,
            prediction=prediction or predicted(checkpoint),
        )


def load_eye(checkpoint: Tensors, files: Files, made: Build, variant: str) -> Eye | None:
    """Build and fill what looks at pictures; None where the variant has no such part, or no file holds it."""
    if variant == "depth":
        return load_depth(checkpoint, made) or _depth_beside(files, made)
    if variant == "unclip" and (stored := visual_names(checkpoint.header.tensors)):
        return load_image_eye(checkpoint, stored, files, made)
    return None


def load_depth(file: Tensors, made: Build, prefix: str = DEPTH_PREFIX) -> DepthEye | None:
    """Build and fill a depth estimator, in float32 as estimates reach into the thousands; None where there is none."""
    stored = depth_names(file.header.tensors, prefix)
    if not stored:
        return None
    config = infer(file, stored, lambda shapes, _facts: midas_config(shapes), {})
    eye = build(file.header.path, lambda: DepthEye(config))
    fill_part(eye.model, "depth estimator", stored, file, made, torch.float32)
    return eye


def _depth_beside(files: Files, made: Build) -> DepthEye | None:
    """Load the depth estimator from a file of its own, where there is one."""
    folder = files.models / "midas" if files.models else None
    path = next((folder / name for name in DEPTH_FILES if (folder / name).is_file()), None) if folder else None
    if path is None:
        return None
    with open_tensors(path, allow_unsafe=files.allow_unsafe) as file:
        return load_depth(file, made, prefix="")


def load_image_eye(file: Tensors, stored: Mapping[str, str], files: Files, made: Build) -> ImageEye:
    """Build and fill an image embedder, and the statistics of its embeddings where some file has them."""
    names = file.header.tensors

    def sizes(shapes: Shapes, _facts: Mapping[str, Any]) -> VisionConfig:
        return vision_config(shapes, quick=is_openai(names, shapes["proj"][1]))

    config = infer(file, stored, sizes, {})
    eye = build(file.header.path, lambda: ImageEye(config))
    fill_part(eye.model["visual"], "image embedder", stored, file, made, made.text_dtype)
    if all(name in names for name in STATISTICS):
        mean, std = (file.get(name).float().flatten() for name in STATISTICS)
        eye.statistics = mean, std
    else:
        eye.statistics = read_statistics(files.models, config.projection)
    return eye


def _told(file: Tensors, eye: Eye | None) -> int:
    """Return how many numbers an unCLIP UNet is told: an embedding, and a level as wide."""
    if isinstance(eye, ImageEye):
        return 2 * eye.config.projection
    if TOLD not in file.header.tensors:
        raise BrokenFile(file.header.path, f"tensor {TOLD} is missing")
    return file.header.tensors[TOLD].shape[1]


def predicted(file: Tensors) -> str:
    """Guess what a UNet predicts from weights that velocity spread further than noise in all published models.

    Files of both kinds have the same names and shapes, and most of them nothing else that tells them apart.
    """
    if TELL_TALE not in file.header.tensors:
        return "eps"
    return "v" if float(file.get(TELL_TALE).float().std(correction=0)) > VELOCITY_SPREAD else "eps"
