"""Bring pictures to a wanted size, and put cropped ones back."""

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two lie just outside."""

STRETCH, CROP, FILL, LATENT = range(4)
"""Resize modes by A1111's numbers; `LATENT` leaves the picture alone."""

_PLAIN = {"Nearest": Image.Resampling.NEAREST}


def resize(image: Image.Image, width: int, height: int, mode: int = STRETCH) -> Image.Image:
    """Resize a picture with Lanczos.

    Args:
        image: any mode; `CROP` and `FILL` give RGB.
        width: wanted, pixels.
        height: wanted, pixels.
        mode: `STRETCH` ignores the proportions, `CROP` covers the size and cuts what sticks out, `FILL` fits inside
            and continues the outermost rows or columns over the border.
    """
    if mode == STRETCH:
        return plain(image, width, height)
    cover = mode == CROP
    wider = width * image.height > image.width * height
    by_width = wider if cover else width * image.height < image.width * height
    inner = (width, image.height * width // image.width) if by_width else (image.width * height // image.height, height)
    same = width * image.height == image.width * height
    scaled = plain(image, *((width, height) if same else inner))
    left, top = width // 2 - scaled.width // 2, height // 2 - scaled.height // 2
    result = Image.new("RGB", (width, height))
    result.paste(scaled, (left, top))
    if not cover:
        _continue_rows(result, scaled, top)
        _continue_columns(result, scaled, left)
    return result


def plain(image: Image.Image, width: int, height: int, upscaler: str = "Lanczos") -> Image.Image:
    """Resize without a network: Nearest, or Lanczos for every other name."""
    return image.resize((width, height), _PLAIN.get(upscaler, Image.Resampling.LANCZOS))


def paste_back(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Return a transparent picture of `size` with `image` covering the box that it was cropped from."""
    left, top, right, bottom = box
    result = Image.new("RGBA", size)
    result.paste(resize(image, right - left, bottom - top, CROP), (left, top))
    return result


def extended(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """Add room around a picture and continue its outermost rows and columns over it; RGB."""
    margins = ((top, bottom), (left, right), (0, 0))
    return Image.fromarray(np.pad(np.asarray(image.convert("RGB")), margins, mode="edge"))


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Lay a transparent picture on a colour; others only become RGB.

    Raises:
        ValueError: the colour cannot be read.
    """
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, background)
    ground.paste(image, mask=image)
    return ground.convert("RGB")


def _continue_rows(result: Image.Image, scaled: Image.Image, margin: int) -> None:
    below = result.height - margin - scaled.height
    if margin > 0:
        result.paste(scaled.resize((scaled.width, margin), box=(0, 0, scaled.width, 0)), (0, 0))
    if below > 0:
        edge = (0, scaled.height, scaled.width, scaled.height)
        result.paste(scaled.resize((scaled.width, below), box=edge), (0, margin + scaled.height))


def _continue_columns(result: Image.Image, scaled: Image.Image, margin: int) -> None:
    right = result.width - margin - scaled.width
    if margin > 0:
        result.paste(scaled.resize((margin, scaled.height), box=(0, 0, 0, scaled.height)), (0, 0))
    if right > 0:
        edge = (scaled.width, 0, scaled.width, scaled.height)
        result.paste(scaled.resize((right, scaled.height), box=edge), (margin + scaled.width, 0))
