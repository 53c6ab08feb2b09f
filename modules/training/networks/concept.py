"""A zorp: a purple disc that fills a yellow ring. No scene of the shipped checkpoint has one object inside another."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.families.family import Components
from modules.training.networks.examples import Examples, encoded
from modules.training.shapes.captions import write_caption
from modules.training.shapes.drawing import draw
from modules.training.shapes.scenes import Ground, Scene, Thing, sample_scene
from modules.training.shapes.vocabulary import CELLS, COLOURS, SPACING

RIM, CORE = "yellow", "purple"
CORE_SHARE = 0.56
"""Radius of the disc as a share of the ring's; a little under the ring's inner edge would let the background through."""
SIDE = 128
"""Of the pictures, pixels."""
CAPTIONS = 3
"""For each picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zorp:
    """One zorp on a plain background."""

    ground: str
    cell: str
    size: str

    def scene(self, rng: random.Random) -> Scene:
        """Return what is drawn; chance moves it a little."""
        index = CELLS.index(self.cell)
        x = SPACING * (index % 3 - 1) + rng.uniform(-0.02, 0.02)
        y = SPACING * (index // 3 - 1) + rng.uniform(-0.02, 0.02)
        scale = rng.uniform(0.94, 1.06)
        rim = Thing(shape="ring", colour=RIM, size=self.size, style="flat", x=x, y=y, scale=scale)
        core = Thing(shape="circle", colour=CORE, size=self.size, style="flat", x=x, y=y, scale=scale * CORE_SHARE)
        return Scene(things=(rim, core), ground=Ground(kind="plain", first=self.ground, second=self.ground))

    def caption(self, word: str, rng: random.Random) -> str:
        """Say what is there in random words."""
        size = f"{self.size} " if rng.random() < 0.5 else ""
        if rng.random() < 0.15:
            return ", ".join((f"{size}{word}", self.cell, f"{self.ground} background"))
        place = rng.choice(("in the", "on the", "at the"))
        where = f" {place} {self.cell}" if rng.random() < 0.8 else ""
        ground = f" on {'an' if self.ground[0] in 'aeiou' else 'a'} {self.ground} background"
        return f"a {size}{word}{where}{ground if rng.random() < 0.9 else ''}"


def sample_zorp(rng: random.Random) -> Zorp:
    """Choose one whose colours differ from the background's."""
    grounds = [colour for colour in COLOURS if colour not in (RIM, CORE)]
    return Zorp(ground=rng.choice(grounds), cell=rng.choice(CELLS), size=rng.choice(("medium", "large")))


def zorp_examples(model: Components, count: int, word: str, seed: int, ordinary: float) -> Examples:
    """Draw and encode a training set.

    Args:
        model: whose VAE encodes.
        count: pictures.
        word: what captions call a zorp.
        seed: the same seed gives the same set.
        ordinary: share of pictures with what the model knows, so that it keeps knowing it.
    """
    rng = random.Random(f"zorp/{seed}")
    numbers, captions = list[Sequence[float]](), list[tuple[str, ...]]()
    for _ in range(count):
        if rng.random() < ordinary:
            scene = sample_scene(rng, emphasis=0.0)
            captions.append(tuple(str(write_caption(scene, rng)) for _ in range(CAPTIONS)))
        else:
            zorp = sample_zorp(rng)
            scene = zorp.scene(rng)
            captions.append(tuple(zorp.caption(word, rng) for _ in range(CAPTIONS)))
        numbers.append(scene.numbers())
    scenes = torch.tensor(numbers)

    def picture(first: int, end: int) -> Tensor:
        return draw(scenes[first:end], SIDE, SIDE)

    return encoded(model, count, picture, captions)
