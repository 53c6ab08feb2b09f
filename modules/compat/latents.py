"""Sizes and decoding of latents."""

from typing import Any

from modules.compat.devices import test_for_nans

LATENT_MODES: dict[str, dict[str, Any]] = {
    "Latent": {"mode": "bilinear", "antialias": False},
    "Latent (antialiased)": {"mode": "bilinear", "antialias": True},
    "Latent (bicubic)": {"mode": "bicubic", "antialias": False},
    "Latent (bicubic antialiased)": {"mode": "bicubic", "antialias": True},
    "Latent (nearest)": {"mode": "nearest", "antialias": False},
    "Latent (nearest-exact)": {"mode": "nearest-exact", "antialias": False},
}


def old_hires_fix_first_pass_dimensions(width: int, height: int) -> tuple[int, int]:
    """Return the size of the first pass as A1111 once chose it."""
    factor = (512 * 512 / (width * height)) ** 0.5
    return int(-(-width * factor // 64) * 64), int(-(-height * factor // 64) * 64)


def decode_first_stage(model: Any, x: Any) -> Any:
    """Decode latents [B, C, h, w] to pictures of about -1..1."""
    return model.decode_first_stage(x)


class DecodedSamples(list[Any]):
    """Pictures [3, H, W] in about -1..1 that need no decoding any more."""

    already_decoded = True


def decode_latent_batch(model: Any, batch: Any, target_device: Any = None, check_for_nans: bool = False) -> DecodedSamples:  # fmt: skip
    """Decode latents [B, C, h, w] one by one.

    Raises:
        NansException: a picture came out as nothing but NaN, and this is to be checked.
    """
    made = DecodedSamples()
    for latent in batch:
        picture = decode_first_stage(model, latent[None])[0]
        if check_for_nans:
            test_for_nans(picture, "vae")
        made.append(picture if target_device is None else picture.to(target_device))
    return made


def cheap_approximation(sample: Any) -> Any:
    """Guess the colours of a latent [C, h, w] without a network: [3, h, w] in about -1..1.

    Raises:
        UnsupportedFeature: nothing is known of the colours of this model's latents.
    """
    import torch

    from modules.compat.sd_model import lent_model
    from modules.domain.errors import UnsupportedFeature

    matrix = lent_model().components.latent.preview
    if not matrix:
        raise UnsupportedFeature("guessing the colours of this model's latents")
    return torch.einsum("c...,cr->r...", sample, torch.tensor(matrix).to(sample))
