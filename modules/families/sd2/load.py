"""Read a Stable Diffusion v2 checkpoint into its three networks."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from modules.families.family import Build, Files
from modules.families.loading import build
from modules.families.openclip import OpenClip, openclip_config, openclip_names
from modules.families.sd1.load import fill_part, infer, load_unet, load_vae
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.library.tensors import Tensors, open_tensors

PREFIXES = ("cond_stage_model.", "conditioner.embedders.0.")
"""Where the text encoder lies: in the files of 2.0 and 2.1, and in those of SD Turbo."""

TELL_TALE = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
VELOCITY_SPREAD = 0.09


def text_prefix(names: Iterable[str]) -> str | None:
    """Return what the names of the text encoder start with, None where there is no text encoder."""
    names = tuple(names)
    return next((one for one in PREFIXES if any(name.startswith(f"{one}model.") for name in names)), None)


def load_networks(
    files: Files, facts: Mapping[str, Any], made: Build, *, prediction: str | None
) -> tuple[OpenClip, UNet, VAE, str]:
    """Build and fill text encoder, UNet and VAE.

    Args:
        files: the checkpoint, and a VAE file that takes the place of the checkpoint's own.
        facts: `Match.config`.
        made: layers, attention, device and number formats.
        prediction: eps, v or x0; None asks the weights.

    Returns:
        The networks and what the UNet predicts.

    Raises:
        BrokenFile: tensors missing, unexpected or of a wrong shape, or sizes that contradict each other.
        UnsupportedCheckpoint: the VAE file is something else.
    """
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_tensors(files.checkpoint))
        stored = openclip_names(checkpoint.header.tensors, text_prefix(checkpoint.names) or PREFIXES[0])
        sizes = infer(checkpoint, stored, openclip_config, facts)
        text = build(files.checkpoint, lambda: OpenClip(sizes))
        fill_part(text, "text encoder", stored, checkpoint, made, made.text_dtype)
        unet = load_unet(checkpoint, facts, made, context_dim=sizes.width)
        source = stack.enter_context(open_tensors(files.vae)) if files.vae else checkpoint
        return text, unet, load_vae(source, facts, made), prediction or predicted(checkpoint)


def predicted(file: Tensors) -> str:
    """Guess what a UNet predicts from weights that velocity spread further than noise in all published models.

    Files of both kinds have the same names and shapes, and most of them nothing else that tells them apart.
    """
    if TELL_TALE not in file.header.tensors:
        return "eps"
    return "v" if float(file.get(TELL_TALE).float().std(correction=0)) > VELOCITY_SPREAD else "eps"
