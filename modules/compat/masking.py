"""Masks, crops, overlays and colours of pictures."""

from typing import Any

from PIL import Image

from modules.imaging import mask as masks
from modules.imaging.colour import with_colours_of, with_luminosity
from modules.imaging.resize import paste_back


def get_crop_region_v2(mask: Image.Image, pad: int = 0) -> tuple[int, int, int, int] | None:
    """Return the box around what is masked; None for a blank mask."""
    return masks.region(mask, pad)


def get_crop_region(mask: Image.Image, pad: int = 0) -> tuple[int, int, int, int]:
    """Return the box around what is masked; of a blank mask A1111's turned one."""
    import numpy as np

    picture = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask))
    box = masks.region(picture, pad)
    if box is not None:
        return box
    width, height = picture.size
    return max(width - pad, 0), max(height - pad, 0), min(pad, width), min(pad, height)


def expand_crop_region(
    crop_region: Any, processing_width: int, processing_height: int, image_width: int, image_height: int
) -> tuple[int, int, int, int]:
    """Widen a box to the proportions of a size."""
    return masks.in_proportion(crop_region, (processing_width, processing_height), (image_width, image_height))


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Replace what is masked by its surroundings."""
    return masks.filled(image, mask)


def create_binary_mask(image: Image.Image, round: bool = True) -> Image.Image:
    """Return a mask of a drawing, from its transparency if it has any."""
    return masks.mask_of(image, rounded=round)


def apply_overlay(image: Image.Image, paste_loc: Any, overlay: Image.Image | None) -> tuple[Image.Image, Image.Image]:
    """Put a picture back where it was cropped from, under what is kept; also return it without."""
    if overlay is None:
        return image, image.copy()
    if paste_loc is not None:
        x, y, width, height = paste_loc
        image = paste_back(image, overlay.size, (x, y, x + width, y + height))
    return masks.overlaid(image, overlay), image.copy()


def setup_color_correction(image: Image.Image) -> Image.Image:
    """Return what colours are matched with."""
    return image.copy()


def apply_color_correction(correction: Image.Image, original_image: Image.Image) -> Image.Image:
    """Give a picture the colours of another one."""
    return with_luminosity(with_colours_of(original_image, correction), original_image)
