"""The text encoders of Stable Diffusion XL and what the model is told besides the text.

B rows (texts), T = 77 tokens of a chunk, D width.

Source: Podell et al. 2023, arXiv:2307.01952, sections 2.1 and 2.2.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from modules.domain.plan import TextOptions
from modules.families.openclip import OpenClip, OpenClipConfig, openclip_names
from modules.families.sd1.keys import TextConfig, text_names
from modules.families.sd1.text import TextEncoder
from modules.families.sdxl.defaults import NUMBER_WIDTH, SIDE
from modules.nn.blocks import timestep_embedding

PREFIX = "conditioner."


class TextEncoders(nn.Module):
    """CLIP and OpenCLIP side by side, or OpenCLIP alone in a refiner.

    Args:
        small: sizes of CLIP; None for a refiner.
        large: sizes of OpenCLIP.
    """

    def __init__(self, small: TextConfig | None, large: OpenClipConfig) -> None:
        super().__init__()
        first = [] if small is None else [TextEncoder(small)]
        self.embedders = nn.ModuleList([*first, OpenClip(large)])

    @property
    def small(self) -> TextEncoder | None:
        """CLIP."""
        return cast(TextEncoder, self.embedders[0]) if len(self.embedders) > 1 else None

    @property
    def large(self) -> OpenClip:
        """OpenCLIP."""
        return cast(OpenClip, self.embedders[-1])

    @property
    def width(self) -> int:
        """Width of the encoded text."""
        return self.large.config.width + (self.small.config.width if self.small else 0)


def small_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name in CLIP -> name in the file; empty for a refiner."""
    return text_names(names, f"{PREFIX}embedders.0.") if large_index(names) else {}


def large_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name in OpenCLIP -> name in the file."""
    return openclip_names(names, f"{PREFIX}embedders.{large_index(names)}.")


def large_index(names: Mapping[str, Any]) -> int:
    """Return which of the encoders is OpenCLIP: 1, or 0 in a refiner, which has no other."""
    return int(any(name.startswith(f"{PREFIX}embedders.1.") for name in names))


def told_numbers(options: TextOptions, *, refiner: bool) -> tuple[float, ...]:
    """Return what a model is told of the picture, in the order of training.

    Original size, corner of the crop, and size of the result, each height before width; a refiner gets a score of
    its beauty instead of the last.
    """
    size = options.size
    sides = (size.height, size.width) if size else (SIDE, SIDE)
    if refiner:
        wanted, unwanted = options.aesthetic_scores
        return (*sides, *options.crop, unwanted if options.negative else wanted)
    return (*sides, *options.crop, *sides)


def embedded_numbers(numbers: Sequence[float], device: torch.device) -> Tensor:
    """Return the sinusoids of numbers one after the other, [256 n], float32."""
    return timestep_embedding(torch.tensor(numbers, device=device), NUMBER_WIDTH).flatten()
