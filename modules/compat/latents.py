"""Sizes and decoding of latents."""

from typing import Any

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
