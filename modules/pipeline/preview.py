"""A rough picture of an unfinished latent, cheap enough to make between steps."""

import io

import torch
from PIL import Image
from torch import Tensor

from modules.families.family import LatentSpec

MAX_SIDE_PX = 512
"""Previews are enlarged to the picture's size, but not beyond this."""


def approximate(x0: Tensor, latent: LatentSpec) -> Image.Image:
    """Turn clean-latent estimates into one picture by the family's linear map.

    Args:
        x0: [B, C, h, w]; several pictures are laid side by side.
        latent: holds the map [C, 3] from latent to RGB in about -1..1.
    """
    matrix = torch.tensor(latent.preview, dtype=torch.float32)  # [C, 3]
    rows = torch.cat(list(x0.float().cpu()), dim=-1)  # [C, h, B*w]
    rgb = torch.einsum("chw,cr->hwr", rows, matrix)
    pixels = ((rgb + 1) * 127.5).clamp(0, 255).to(torch.uint8).numpy()
    image = Image.fromarray(pixels, "RGB")
    scale = min(latent.downscale, max(1, MAX_SIDE_PX // max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.BILINEAR)


def encode(image: Image.Image, format_name: str) -> bytes:
    """Encode a preview quickly; quality matters little here."""
    buffer = io.BytesIO()
    if format_name == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "WEBP" if format_name == "webp" else "JPEG", quality=80)
    return buffer.getvalue()
