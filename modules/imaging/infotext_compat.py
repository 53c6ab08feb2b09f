"""Meanings that keys had in older versions."""

import math
import re
from typing import Any

_VERSION = re.compile(r"v([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})(?:-([0-9]{1,6})(?:-g[0-9a-f]+)?)?")

_NEW_EDITING = (1, 6, 0)
_EXACT_ALPHAS = (1, 7, 0, 225)
_NEW_REFINER = (1, 8, 0)
NEW_HIRES_STYLES = (1, 8, 0, 139)


def version_of(found: dict[str, Any]) -> tuple[int, ...] | None:
    """Return the version a text names, `v1.7.0-225-gabc` as (1, 7, 0, 225); None when it names none we can order."""
    match = _VERSION.fullmatch(str(found.get("Version", "")))
    if match is None:
        return None
    numbers = [int(part) for part in match.group(1).split(".")]
    numbers += [0] * (3 - len(numbers))
    return (*numbers, int(match.group(2))) if match.group(2) else tuple(numbers)


def old_versions(found: dict[str, Any]) -> None:
    """Switch on, in place, what the version that wrote the text did differently."""
    version = version_of(found)
    if version is None:
        return
    if version < _NEW_EDITING and "[" in found["Prompt"]:
        found["Old prompt editing timelines"] = True
    if version < _NEW_EDITING and found.get("Sampler") in ("DDIM", "PLMS"):
        found["Pad conds v0"] = True
    if version < _EXACT_ALPHAS:
        found["Downcast alphas_cumprod"] = True
    if version < _NEW_REFINER and "Refiner" in found:
        found["Refiner switch by sampling steps"] = True


def old_first_pass(found: dict[str, Any]) -> None:
    """Turn, in place, the old `First pass size` into today's Size and Hires resize."""
    names = ("First pass size-1", "First pass size-2", "Size-1", "Size-2")
    if names[0] not in found:
        return
    texts = [str(found.get(name, "512")) for name in names]
    if any(len(text) > 6 for text in texts):
        return
    first_width, first_height, width, height = map(int, texts)
    if (first_width == 0 or first_height == 0) and width and height:
        first_width, first_height = _automatic_first_pass(width, height)
    found["Size-1"], found["Size-2"] = first_width, first_height
    found["Hires resize-1"], found["Hires resize-2"] = width, height


def _automatic_first_pass(width: int, height: int) -> tuple[int, int]:
    """Return the size with the proportions asked for and about 512x512 pixels, in multiples of 64."""
    scale = math.sqrt(512 * 512 / (width * height))
    return math.ceil(scale * width / 64) * 64, math.ceil(scale * height / 64) * 64
