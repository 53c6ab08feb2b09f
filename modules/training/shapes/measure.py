"""Read colours and places off the pixels of a picture with one object on a plain background."""

from dataclasses import dataclass

import torch
from torch import Tensor

from modules.training.shapes.vocabulary import CELLS, COLOURS, SPACING

BORDER_PX = 5
FAR = 0.28
"""Distance of a pixel from the background, each channel 0..1, from which it belongs to the object."""
LEAST_PX = 40
"""Object pixels below which nothing is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What pixels say. None where there is no object."""

    ground: str
    colour: str | None
    cell: str | None
    area: float
    """Share of the picture that the object covers."""


def palette(device: torch.device | None = None) -> Tensor:
    """Return the named colours, [10, 3] in 0..1."""
    return torch.tensor(list(COLOURS.values()), device=device) / 255


def nearest(pixels: Tensor) -> Tensor:
    """Return the place in `COLOURS` nearest to each pixel: [..., 3] in 0..1 -> [...]."""
    return torch.cdist(pixels.flatten(0, -2), palette(pixels.device)).argmin(1).unflatten(0, pixels.shape[:-1])


def read_pixels(picture: Tensor) -> Reading:
    """Measure one picture, [3, H, W] in -1..1.

    The background is the commonest colour along the border, the object is what differs from it, its colour the
    commonest among its pixels and its place their median.
    """
    pixels = ((picture.float().clamp(-1, 1) + 1) / 2).movedim(0, -1)  # [H, W, 3]
    names = tuple(COLOURS)
    inner = torch.ones(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
    inner[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    border = pixels[inner]
    kinds = nearest(border)
    ground = int(kinds.mode().values)
    level = border[kinds == ground].median(0).values
    mask = (pixels - level).norm(dim=-1) > FAR
    if int(mask.sum()) < LEAST_PX:
        return Reading(ground=names[ground], colour=None, cell=None, area=0.0)
    rows, columns = mask.nonzero().float().median(0).values.tolist()
    cell = CELLS[3 * _third(rows, pixels.shape[0]) + _third(columns, pixels.shape[1])]
    # Edges mix the two colours into a third, so the solid inside decides where there is one.
    solid = _inside(mask)
    chosen = pixels[solid if int(solid.sum()) >= LEAST_PX // 2 else mask]
    colour = names[int(nearest(chosen).mode().values)]
    return Reading(ground=names[ground], colour=colour, cell=cell, area=float(mask.float().mean()))


def _third(position: float, side: int) -> int:
    offset = (position + 0.5) / side - 0.5
    return 0 if offset < -SPACING / 2 else 2 if offset > SPACING / 2 else 1


def _inside(mask: Tensor) -> Tensor:
    """Take one pixel off the edge of a mask [H, W]."""
    outside = (~mask).float()[None]
    return torch.nn.functional.max_pool2d(outside, 3, stride=1, padding=1)[0] == 0


def colour_centre(picture: Tensor, colour: str) -> tuple[float, float, float]:
    """Return where a colour is: median x and y in 0..1, and the share of the picture nearest to it. Picture as above."""
    pixels = ((picture.float().clamp(-1, 1) + 1) / 2).movedim(0, -1)
    found = (nearest(pixels) == tuple(COLOURS).index(colour)).nonzero().float()
    if len(found) == 0:
        return 0.5, 0.5, 0.0
    y, x = found.median(0).values.tolist()
    return x / picture.shape[2], y / picture.shape[1], len(found) / picture[0].numel()
