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
EDM_MARKER = "edm_vpred.sigma_max"
EDM_RANGE = (0.002, 120.0)
"""Noise levels where a file has the marker alone."""
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
                header.path, f"its configuration has parameterization {str(stated)[:40]!r}, not eps, v or x0"
            )
        return stated
    scaling = section(params, "denoiser_config", "params", "scaling_config").get("target")
    if (by_scaling := _SCALINGS.get(str(scaling).rpartition(".")[2])) is not None:
        return by_scaling
    by_metadata = header.metadata.get("modelspec.prediction_type", "").lower()
    if by_metadata:
        return "v" if by_metadata.startswith("v") else "eps"
    return "v" if {"v_pred", EDM_MARKER} & header.tensors.keys() else None


def training_facts(header: Header, config: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what shapes cannot tell; only facts that are stated appear.

    Returns:
        Any of unet_heads, unet_head_channels, unet_norm_groups, vae_norm_groups, text_heads, beta_start, beta_end,
        timesteps, image_size (side of the latents of training), latent_scale, zero_terminal_snr, edm_range (lowest and
        highest noise level of a network trained on all levels in between).

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
            "edm_range": EDM_RANGE if EDM_MARKER in header.tensors else _range(params),
            "zero_terminal_snr": True if "ztsnr" in header.tensors or params.get("zero_terminal_snr") is True else None,
        }
    except ValueError as error:
        raise BrokenFile(header.path, f"the yaml beside it is wrong: {error}") from error
    return {name: value for name, value in facts.items() if value is not None}


def _range(params: Mapping[str, Any]) -> tuple[float, float] | None:
    stated = section(params, "edm_range")
    low, high = (number(stated, name, minimum=1e-6, maximum=1e6) for name in ("sigma_min", "sigma_max"))
    return (low, high) if low is not None and high is not None and low < high else None


STATED_PREDICTIONS = ("eps", "v", "v + zero SNR", "x0")
"""What somebody can say that a checkpoint predicts."""


def foretold(match: Match, prediction: str) -> Match:
    """Return a match with one of `STATED_PREDICTIONS` in place of what the files say."""
    name, _, zero = prediction.partition(" + ")
    told = ("prediction_by_weights", "zero_terminal_snr", "edm_range")
    config = {key: value for key, value in match.config.items() if key not in told}
    if zero:
        config["zero_terminal_snr"] = True
    return replace(match, prediction=name, config=MappingProxyType(config))


def native_size(facts: Mapping[str, Any]) -> int:
    """Return the side of the pictures of training, pixels; the original's where nothing is stated."""
    return facts.get("image_size", IMAGE_SIZE) * DOWNSCALE


def trained_prediction(name: str, facts: Mapping[str, Any]) -> Prediction:
    """Build the prediction with the noise levels of training."""
    if "edm_range" in facts:
        return replace(Prediction.named(name, SigmaTable.log_spaced(*facts["edm_range"])), log_time=True)
    alphas = scaled_linear_alphas(
        facts.get("beta_start", BETA_START), facts.get("beta_end", BETA_END), facts.get("timesteps", TIMESTEPS)
    )
    if facts.get("zero_terminal_snr"):
        alphas = rescale_zero_terminal_snr(alphas)
    return Prediction.named(name, SigmaTable.from_alphas(alphas))
