"""Find the infotext in a picture, wherever a program put it."""

import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from modules.imaging.exif import comment_in_exif
from modules.imaging.open import DECODER_ERRORS, ImageLimits, open_header
from modules.imaging.stealth import read_stealth

logger = logging.getLogger(__name__)

_TECHNICAL = frozenset(
    {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
        "dpi",
        "exif",
        "loop",
        "background",
        "timestamp",
        "duration",
        "progressive",
        "progression",
        "icc_profile",
        "chromaticity",
        "photoshop",
    }
)
_NOVELAI_SAMPLERS = {
    "k_euler_ancestral": "Euler a",
    "k_euler": "Euler",
    "k_lms": "LMS",
    "k_heun": "Heun",
    "k_dpm_2": "DPM2",
    "k_dpm_2_ancestral": "DPM2 a",
    "k_dpmpp_2m": "DPM++ 2M",
    "k_dpmpp_2s_ancestral": "DPM++ 2S a",
    "k_dpmpp_sde": "DPM++ SDE",
    "plms": "PLMS",
    "ddim": "DDIM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInfo:
    """What a picture says about itself."""

    infotext: str | None
    """The parameters text, or None when there is none."""
    items: Mapping[str, Any]
    """The other texts of the file; technical entries are left out."""


def read_picture_info(data: bytes, limits: ImageLimits | None = None, *, field: str = "image") -> PictureInfo:
    """Read the infotext and the other texts of a picture file.

    Raises:
        InvalidImage: not a picture we accept.
        LimitExceeded: too many bytes or pixels.
    """
    image = open_header(data, limits, field=field)
    # Texts may follow the pixels. A file that breaks off after its texts still has something to say.
    with contextlib.suppress(*DECODER_ERRORS):
        image.load()
    return read_info(image)


def read_info(image: Image.Image) -> PictureInfo:
    """Read the infotext and the other texts of a decoded picture.

    The text chunk `parameters` counts first, an EXIF comment wins over it, a GIF's comment is used when there is
    neither, NovelAI's own chunks are translated, and only then are the pixels searched for hidden text.
    """
    items: dict[str, Any] = {str(key): value for key, value in image.info.items()}
    infotext = _as_text(items.pop("parameters", None))
    exif = items.get("exif")
    comment = comment_in_exif(exif) if isinstance(exif, bytes) else None
    if comment:
        infotext = items["exif comment"] = comment
    elif "comment" in items and not infotext:
        infotext = _as_text(items.pop("comment"))
    items = {key: value for key, value in items.items() if key not in _TECHNICAL}
    if items.get("Software") == "NovelAI":
        infotext = _novelai(items, image.size) or infotext
    if not infotext and image.format == "PNG":
        infotext = read_stealth(image)
    return PictureInfo(infotext=infotext or None, items=items)


def _as_text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="ignore")
    return value if isinstance(value, str) else None


def _novelai(items: Mapping[str, Any], size: tuple[int, int]) -> str | None:
    """Write NovelAI's chunks in our form; None when they are incomplete."""
    try:
        found = json.loads(items["Comment"])
        sampler = _NOVELAI_SAMPLERS.get(found["sampler"], "Euler a")
        return (
            f"{items['Description']}\nNegative prompt: {found['uc']}\n"
            f"Steps: {found['steps']}, Sampler: {sampler}, CFG scale: {found['scale']}, Seed: {found['seed']}, "
            f"Size: {size[0]}x{size[1]}, Clip skip: 2, ENSD: 31337"
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        logger.info("the NovelAI comment of a picture cannot be read: %s", error)
        return None
