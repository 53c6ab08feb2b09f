"""Measure whether emphasis, negative prompts and prompts that change half-way do what people expect of them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from modules.training.shapes.measure import read_pixels
from modules.training.shapes.render import Look
from modules.training.shapes.sheet import save_sheet

EACH = 16
"""Pictures per prompt."""

Render = Callable[..., Tensor]
"""`render` with the model filled in."""


def measure_behaviour(render: Render, folder: Path) -> dict[str, float]:
    """Render a few prompts many times; writes `prompts.png` with four pictures of each.

    Returns:
        Average object area by weight of a size word, average vividness by weight of a colour word, how often a
        negative prompt leaves its word out, and which colour a changing prompt ends in.
    """
    look = Look(batch=EACH)
    shown, texts = list[Tensor](), list[str]()

    def make(prompt: str, negative: str = "") -> Tensor:
        pictures = render([prompt] * EACH, look, negative=negative, first_seed=77)
        shown.append(pictures[:4])
        texts.extend([f"{prompt} | not {negative}" if negative else prompt] * 4)
        return pictures

    result: dict[str, float] = {}
    for weight in (0.5, 1.0, 1.5):
        pictures = make(f"a (large:{weight:g}) red circle in the center on a white background")
        result[f"area, (large:{weight:g})"] = _mean([read_pixels(p).area for p in pictures])
    for weight in (0.6, 1.0, 1.3):
        pictures = make(f"a (red:{weight:g}) square in the center on a white background")
        result[f"vividness, (red:{weight:g})"] = _mean([redness(p) for p in pictures])
    for negative in ("", "red", "blue background"):
        pictures = make("a circle", negative)
        readings = [read_pixels(p) for p in pictures]
        result[f"red objects without {negative!r}"] = _mean([r.colour == "red" for r in readings])
        result[f"blue backgrounds without {negative!r}"] = _mean([r.ground == "blue" for r in readings])
    for when in (0.2, 0.5, 0.8):
        pictures = make(f"a [red:blue:{when:g}] circle in the center on a white background")
        colours = [read_pixels(p).colour for p in pictures]
        for colour in ("red", "blue", "purple"):
            result[f"[red:blue:{when:g}] ends {colour}"] = _mean([c == colour for c in colours])
    save_sheet(folder / "prompts.png", torch.cat(shown), texts)
    return result


def redness(picture: Tensor) -> float:
    """Return how much red exceeds the other channels in the middle of a picture, 0..1."""
    height, width = picture.shape[1:]
    middle = picture[:, height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8].clamp(-1, 1).mean((1, 2))
    return float(middle[0] - middle[1:].mean()) / 2


def _mean(values: list[float] | list[bool]) -> float:
    return round(sum(values) / len(values), 4)
