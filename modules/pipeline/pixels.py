"""From what a decoder gives to 8-bit pictures."""

import torch
from PIL import Image
from torch import Tensor


def to_unit(picture: Tensor) -> Tensor:
    """Bring a picture of about -1..1 to 0..1."""
    return ((picture + 1) / 2).clamp(0, 1)


def to_pil(picture: Tensor) -> Image.Image:
    """Convert a picture [3, H, W] in 0..1 to 8-bit RGB, truncating as A1111 does."""
    pixels = picture.clamp(0, 1).mul(255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())
