"""What a checkpoint's yaml, metadata and marker tensors say about training, for families of latent diffusion."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from modules.domain.errors import BrokenFile
from modules.families.family import Match
from modules.families.sidecar import count, number, section
from modules.library.header import Header
from modules.sampling.prediction import (
    Prediction,
    SigmaTable,
    rescale_zero_terminal_snr,
    scaled_linear_alphas,
)

BETA_START = 0.00085
BETA_END = 0.012
TIMESTEPS = 1000
IMAGE_SIZE = 64
DOWNSCALE = 8

_SCALINGS = {"EpsScaling": "eps", "VScaling": "v"}
"""How later configs write the parameterization."""


def prediction_name(header: Header, config: Mapping[str, Any]) -> str:
    """Return eps, v or x0: from the yaml, else the metadata, else the marker tensor, else eps.

    Raises:
        BrokenFile: the yaml names another one.
    """
    return stated_prediction(header, config) or "eps"


def stated_prediction(header: Header, config: Mapping[str, Any]) -> str | None:
    """Return eps, v or x0 as `prediction_name` does, None where nothing says so."""
    params = section(config, "model", "params")
    stated = params.get("parameterization")
    if stated is not None:
        if stated not in {"eps", "v", "x0"}:
            raise BrokenFile(
                header.path, f"the yaml beside it has parameterization {str(stated)[:40]!r}, not eps, v or x0"
            )
        return stated
    scaling = section(params, "denoiser_config", "params", "scaling_config").get("target")
    if (by_scaling := _SCALINGS.get(str(scaling).rpartition(".")[2])) is not None:
        return by_scaling
    by_metadata = header.metadata.get("modelspec.prediction_type", "").lower()
    if by_metadata:
        return "v" if by_metadata.startswith("v") else "eps"
    return "v" if "v_pred" in header.tensors else None


def training_facts(header: Header, config: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what shapes cannot tell; only facts that are stated appear.

    Returns:
        Any of unet_heads, unet_head_channels, unet_norm_groups, vae_norm_groups, text_heads, beta_start, beta_end,
        timesteps, image_size (side of the latents of training), latent_scale, zero_terminal_snr.

    Raises:
        BrokenFile: a stated number is of another type or out of range.
    """
    params = section(config, "model", "params")
    unet = section(params, "unet_config", "params") or section(params, "network_config", "params")
    try:
        facts = {
            "unet_heads": count(unet, "num_heads"),
            "unet_head_channels": count(unet, "num_head_channels"),
            "unet_norm_groups": count(unet, "norm_groups"),
            "vae_norm_groups": count(section(params, "first_stage_config", "params", "ddconfig"), "norm_groups"),
            "text_heads": count(section(params, "cond_stage_config", "params"), "num_heads"),
            "beta_start": number(params, "linear_start", minimum=1e-8, maximum=0.999),
            "beta_end": number(params, "linear_end", minimum=1e-8, maximum=0.999),
            "timesteps": count(params, "timesteps"),
            "image_size": count(params, "image_size"),
            "latent_scale": number(params, "scale_factor", minimum=1e-6, maximum=1e6),
            "zero_terminal_snr": True if "ztsnr" in header.tensors or params.get("zero_terminal_snr") is True else None,
        }
    except ValueError as error:
        raise BrokenFile(header.path, f"the yaml beside it is wrong: {error}") from error
    return {name: value for name, value in facts.items() if value is not None}


STATED_PREDICTIONS = ("eps", "v", "v + zero SNR", "x0")
"""What somebody can say that a checkpoint predicts."""


def foretold(match: Match, prediction: str) -> Match:
    """Return a match with one of `STATED_PREDICTIONS` in place of what the files say."""
    name, _, zero = prediction.partition(" + ")
    config = {
        key: value for key, value in match.config.items() if key not in ("prediction_by_weights", "zero_terminal_snr")
    }
    if zero:
        config["zero_terminal_snr"] = True
    return replace(match, prediction=name, config=MappingProxyType(config))


def native_size(facts: Mapping[str, Any]) -> int:
    """Return the side of the pictures of training, pixels; the original's where nothing is stated."""
    return facts.get("image_size", IMAGE_SIZE) * DOWNSCALE


def trained_prediction(name: str, facts: Mapping[str, Any]) -> Prediction:
    """Build the prediction with the noise levels of training."""
    alphas = scaled_linear_alphas(
        facts.get("beta_start", BETA_START), facts.get("beta_end", BETA_END), facts.get("timesteps", TIMESTEPS)
    )
    if facts.get("zero_terminal_snr"):
        alphas = rescale_zero_terminal_snr(alphas)
    return Prediction.named(name, SigmaTable.from_alphas(alphas))
