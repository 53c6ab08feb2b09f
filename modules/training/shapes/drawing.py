"""Draw scenes with torch: every shape is a signed distance, so edges are smooth and a batch costs one pass.

B scenes, H W picture height and width in pixels. Runs on any device.
"""

import math
from collections.abc import Callable
from types import MappingProxyType

import torch
from torch import Tensor

from modules.training.shapes.scenes import SCENE_NUMBERS, THING_NUMBERS
from modules.training.shapes.vocabulary import GROUNDS, SHAPES, STYLES

Distance = Callable[[Tensor, Tensor], Tensor]
"""(x, y) in units of the radius, y downwards -> signed distance to the outline in the same units, negative inside."""


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.95


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.85


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    side = (1.75 * x.abs() - 0.97 * (y + 1.0)) / math.hypot(1.75, 0.97)  # from the tip (0, -1) to (0.97, 0.75)
    return torch.maximum(side, y - 0.75)


def _star(x: Tensor, y: Tensor) -> Tensor:
    """Five points: fold the plane into half a point, then measure to its one edge."""
    outer, inner, half = 1.05, 0.45, math.pi / 5
    angle = torch.atan2(x, -y)  # 0 at the upper tip
    angle = (torch.remainder(angle + half, 2 * half) - half).abs()
    r = torch.hypot(x, y)
    along, across = r * angle.cos(), r * angle.sin()
    dx, dy = inner * math.cos(half) - outer, inner * math.sin(half)
    return (dx * across - dy * (along - outer)) / -math.hypot(dx, dy)


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.74).abs() - 0.24


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.32, y - 0.98), torch.maximum(x - 0.98, y - 0.32))


def _heart(x: Tensor, y: Tensor) -> Tensor:
    """A square on its corner with a half disc on each upper side."""
    x, y, side = x.abs(), y + 0.04, 0.84
    corner = (x + y.abs() - side) / math.sqrt(2.0)
    return torch.minimum(corner, torch.hypot(x - side / 2, y + side / 2) - side / math.sqrt(2.0))


def _diamond(x: Tensor, y: Tensor) -> Tensor:
    a, b = 0.7, 1.08
    return (x.abs() / a + y.abs() / b - 1.0) * (a * b / math.hypot(a, b))


def _moon(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 0.98, 0.78 - torch.hypot(x - 0.48, y + 0.1))


DISTANCES: MappingProxyType[str, Distance] = MappingProxyType(
    {
        "circle": _circle,
        "square": _square,
        "triangle": _triangle,
        "star": _star,
        "ring": _ring,
        "cross": _cross,
        "heart": _heart,
        "diamond": _diamond,
        "moon": _moon,
    }
)


def draw(numbers: Tensor, width: int, height: int, window: tuple[Tensor, Tensor, int] | None = None) -> Tensor:
    """Draw pictures, or a square window of each.

    Args:
        numbers: [B, SCENE_NUMBERS] from `Scene.numbers`.
        width: of the whole picture, pixels.
        height: of the whole picture, pixels.
        window: left [B], top [B] and side of the window in pixels; None draws everything.

    Returns:
        [B, 3, H, W] in -1..1.
    """
    x, y = _pixels(numbers, width, height, window)
    picture = _background(numbers[:, 2 * THING_NUMBERS :], x, y, min(width, height))
    for index in range(2):
        thing = numbers[:, index * THING_NUMBERS : (index + 1) * THING_NUMBERS]
        alpha, light = _cover(thing, x, y, width, height)
        colour = thing[:, 5:8, None, None]
        colour = torch.where(light > 0, colour + (1 - colour) * light, colour * (1 + light))  # [B, 3, H, W]
        picture = picture + (colour - picture) * alpha
    return picture * 2 - 1


def masks(numbers: Tensor, width: int, height: int) -> Tensor:
    """Return how much of each pixel the two objects cover: [B, SCENE_NUMBERS] -> [B, 2, H, W] in 0..1."""
    assert numbers.shape[1] == SCENE_NUMBERS
    x, y = _pixels(numbers, width, height, None)
    things = numbers[:, : 2 * THING_NUMBERS].unflatten(1, (2, THING_NUMBERS)).unbind(1)
    return torch.cat([_cover(thing, x, y, width, height)[0] for thing in things], dim=1)


def _pixels(
    numbers: Tensor, width: int, height: int, window: tuple[Tensor, Tensor, int] | None
) -> tuple[Tensor, Tensor]:
    """Return pixel centres relative to the middle of the picture, in pixels: [B, 1, H, W] twice."""
    batch = numbers.shape[0]
    if window is None:
        columns = torch.arange(width, device=numbers.device).expand(batch, -1)
        rows = torch.arange(height, device=numbers.device).expand(batch, -1)
    else:
        left, top, side = window
        steps = torch.arange(side, device=numbers.device)
        columns, rows = left[:, None] + steps, top[:, None] + steps
    x = (columns + 0.5 - width / 2)[:, None, None, :].expand(-1, -1, rows.shape[1], -1)
    y = (rows + 0.5 - height / 2)[:, None, :, None].expand(-1, -1, -1, columns.shape[1])
    return x, y


def _cover(thing: Tensor, x: Tensor, y: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Return coverage 0..1 and brightness -1..1 of one object per scene, both [B, 1, H, W]."""
    style = thing[:, 8, None, None, None]
    radius = (thing[:, 4] * min(width, height)).clamp(min=1e-3)[:, None, None, None]  # pixels
    strength = thing[:, 9, None, None, None]
    u = (x - thing[:, 2, None, None, None] * width) / radius
    v = (y - thing[:, 3, None, None, None] * height) / radius
    distance = torch.zeros_like(u)
    for index, name in enumerate(SHAPES):
        rows = ((thing[:, 1] == index) & (thing[:, 0] > 0)).nonzero()[:, 0]
        distance[rows] = DISTANCES[name](u[rows], v[rows])
    names = tuple(STYLES)
    outline, soft, shaded = (style == names.index(name) for name in ("outline", "soft", "shaded"))
    half = (0.1 * strength * radius).clamp(min=1.25)  # half the line width, pixels
    pixels = distance * radius
    pixels = torch.where(outline, (pixels + half).abs() - half, pixels)
    blur = torch.where(soft, (0.12 * strength * radius).clamp(min=1.0), torch.ones_like(radius))
    alpha = (0.5 - pixels / blur).clamp(0, 1)
    alpha = torch.where(soft, torch.sigmoid(-4 * pixels / (2 * blur)), alpha)
    light = torch.where(shaded, (-0.32 * strength * (u + v)).clamp(-0.45, 0.45), torch.zeros_like(u))
    return alpha * thing[:, 0, None, None, None], light


def _background(ground: Tensor, x: Tensor, y: Tensor, side: int) -> Tensor:
    """[B, GROUND_NUMBERS] -> [B, 3, H, W] in 0..1."""
    direction = ground[:, 7, None, None, None]
    phase = ground[:, 8, None, None, None]
    first, second = ground[:, 1:4, None, None], ground[:, 4:7, None, None]
    along = torch.where(direction == 0, x, y)
    along = torch.where(direction == 2, (x + y) / math.sqrt(2), along)
    along = torch.where(direction == 3, (x - y) / math.sqrt(2), along)
    mix = torch.zeros_like(along)
    for index, name in enumerate(GROUNDS):
        if name != "plain":
            rows = (ground[:, 0] == index).nonzero()[:, 0]
            mix[rows] = _pattern(name, x[rows], y[rows], along[rows], phase[rows], side)
    return first + (second - first) * mix


def _pattern(name: str, x: Tensor, y: Tensor, along: Tensor, phase: Tensor, side: int) -> Tensor:
    """Return how much of the second colour there is, 0..1; positions in pixels, x and y and along its direction."""
    period = side / 4  # pixels
    match name:
        case "gradient":
            return (along / side + 0.5).clamp(0, 1)
        case "striped":
            return _wave(along, period, phase)
        case "checkered":
            return _checks(x, y, period, phase)
        case _:
            return _dots(x, y, period, phase)


def _wave(position: Tensor, period: float, phase: Tensor) -> Tensor:
    """Alternate 0 and 1, half a period each, with edges one pixel wide."""
    offset = torch.remainder(position + phase * period, period) - period / 2  # -period/2 .. period/2
    return (offset.abs() - period / 4 + 0.5).clamp(0, 1)


def _checks(x: Tensor, y: Tensor, period: float, phase: Tensor) -> Tensor:
    a, b = _wave(x, period, phase), _wave(y, period, phase)
    return a + b - 2 * a * b


def _dots(x: Tensor, y: Tensor, period: float, phase: Tensor) -> Tensor:
    u = torch.remainder(x + phase * period, period) - period / 2
    v = torch.remainder(y + phase * period, period) - period / 2
    return (period * 0.27 - torch.hypot(u, v) + 0.5).clamp(0, 1)
