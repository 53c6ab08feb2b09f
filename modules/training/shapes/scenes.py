"""Scenes: what is in a picture, sampled at random, and the numbers it is drawn from.

A scene may carry an emphasis: the weight that its caption gives to a word. The weight changes what is drawn, so that
a network learns to obey `(large:1.5)`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from modules.training.shapes.vocabulary import (
    CELLS,
    COLOURS,
    GROUNDS,
    RADIUS,
    RELATIONS,
    SHAPES,
    SPACING,
    STYLES,
    choices,
)

THING_NUMBERS = 10
"""Numbers per object: present, shape, x, y, radius, r, g, b, style, strength of the style."""
GROUND_NUMBERS = 9
"""Numbers of the background: kind, first r g b, second r g b, direction, phase."""
SCENE_NUMBERS = 2 * THING_NUMBERS + GROUND_NUMBERS

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object."""

    shape: str
    colour: str
    size: str
    style: str
    x: float
    """Centre, fraction of the width from the middle of the picture."""
    y: float
    """Centre, fraction of the height from the middle, downwards."""
    scale: float = 1.0
    """Chance deviation of the radius from that of its size."""
    tint: Rgb = (0, 0, 0)
    """Chance deviation of the colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The background."""

    kind: str
    first: str
    second: str
    direction: int = 0
    """0 across, 1 down, 2 and 3 the diagonals."""
    phase: float = 0.0
    """Shift of the pattern, in periods."""
    tint: Rgb = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One or two objects on a background."""

    things: tuple[Thing, ...]
    ground: Ground
    cell: str | None = None
    """Place of a lone object."""
    relation: str | None = None
    """Where the first of two objects is, seen from the second; None for a pair of equals."""
    emphasis: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Weight of the words for a slot, where it is not 1."""

    def value(self, slot: str) -> str | None:
        """Return what fills a slot of `SLOTS`, None when the scene has no such thing."""
        ground = {"pattern": self.ground.kind, "ground": self.ground.first, "relation": self.relation}
        if slot in ground:
            return ground[slot]
        if slot == "ground2":
            return None if self.ground.kind == "plain" else self.ground.second
        if slot == "position0":
            return self.cell
        index = int(slot[-1])
        return getattr(self.things[index], slot[:-1]) if index < len(self.things) else None

    def numbers(self) -> tuple[float, ...]:
        """Return the `SCENE_NUMBERS` numbers that the picture is drawn from."""
        absent = (0.0,) * THING_NUMBERS
        things = [self._thing(i) for i in range(len(self.things))] + [absent]
        return (*things[0], *things[1], *self._ground())

    def _thing(self, index: int) -> tuple[float, ...]:
        thing = self.things[index]
        weight = {name: self.emphasis.get(f"{name}{index}", 1.0) for name in ("shape", "colour", "size", "style")}
        grow = {"small": -0.5, "medium": 0.25, "large": 0.5}[thing.size]
        radius = RADIUS[thing.size] * thing.scale * weight["size"] ** grow
        radius *= weight["shape"] ** 0.4 * weight["colour"] ** 0.2
        away = self.emphasis.get("position0", 1.0) ** 0.5
        colour = _contrast(_tinted(thing.colour, thing.tint), weight["colour"])
        place = (thing.x * away, thing.y * away, radius)
        return (1.0, float(tuple(SHAPES).index(thing.shape)), *place, *colour, _style(thing), weight["style"])

    def _ground(self) -> tuple[float, ...]:
        ground = self.ground
        first = _contrast(_tinted(ground.first, ground.tint), self.emphasis.get("ground", 1.0))
        second = _contrast(_tinted(ground.second, ground.tint), self.emphasis.get("ground2", 1.0))
        mix = min(self.emphasis.get("pattern", 1.0), 1.0)  # a weak pattern fades into the first colour
        second = tuple(a + (b - a) * mix for a, b in zip(first, second, strict=True))
        return (float(GROUNDS.index(ground.kind)), *first, *second, float(ground.direction), ground.phase)


def _style(thing: Thing) -> float:
    return float(tuple(STYLES).index(thing.style))


def _tinted(colour: str, tint: Rgb) -> tuple[float, float, float]:
    r, g, b = (base + change for base, change in zip(COLOURS[colour], tint, strict=True))
    return r, g, b


def _contrast(colour: tuple[float, float, float], weight: float) -> tuple[float, float, float]:
    """Move a colour (0..255) away from middle gray by a weight; returns 0..1."""
    r, g, b = (min(max((128.0 + (c - 128.0) * weight) / 255.0, 0.0), 1.0) for c in colour)
    return r, g, b


def is_held_out(shape: str, colour: str, ground: str) -> bool:
    """Say whether a combination of a lone object is kept away from training, to be measured on: every tenth is."""
    index = tuple(SHAPES).index(shape) * 7 + tuple(COLOURS).index(colour) * 3 + tuple(COLOURS).index(ground)
    return index % 10 == 0


def sample_scene(rng: random.Random, *, held_out: bool = False, emphasis: float = 0.2) -> Scene:
    """Draw the content of a picture.

    Args:
        rng: the source of chance; the same state gives the same scene.
        held_out: whether to give only lone objects of held-out combinations, or everything else.
        emphasis: share of scenes with weighted words.
    """
    while True:
        ground = _sample_ground(rng)
        scene = _single(rng, ground) if held_out or rng.random() < 0.78 else _two(rng, ground)
        thing = scene.things[0]
        if len(scene.things) == 2 or is_held_out(thing.shape, thing.colour, ground.first) == held_out:
            break
    return replace(scene, emphasis=_sample_emphasis(scene, rng)) if rng.random() < emphasis else scene


def _sample_ground(rng: random.Random) -> Ground:
    kind = rng.choices(GROUNDS, (68, 8, 8, 8, 8))[0]
    first, second = rng.sample(tuple(COLOURS), 2)
    direction = {"gradient": rng.choice((1, 1, 0)), "striped": rng.randrange(4)}.get(kind, 0)
    return Ground(kind=kind, first=first, second=second, direction=direction, phase=rng.random(), tint=_tint(rng))


def _tint(rng: random.Random) -> Rgb:
    return rng.randint(-6, 6), rng.randint(-6, 6), rng.randint(-6, 6)


def _sample_thing(rng: random.Random, ground: Ground, sizes: dict[str, int], x: float, y: float) -> Thing:
    taken = {ground.first} if ground.kind == "plain" else {ground.first, ground.second}
    shape = rng.choice(tuple(SHAPES))
    # An outlined ring is two rings and reads as nothing in particular.
    style = rng.choices(tuple(STYLES), (70, 0 if shape == "ring" else 10, 10, 10))[0]
    return Thing(
        shape=shape,
        colour=rng.choice([colour for colour in COLOURS if colour not in taken]),
        size=rng.choices(tuple(sizes), tuple(sizes.values()))[0],
        style=style,
        x=x,
        y=y,
        scale=rng.uniform(0.94, 1.06),
        tint=_tint(rng),
    )


def _single(rng: random.Random, ground: Ground) -> Scene:
    cell = rng.choices(range(9), (1, 1, 1, 1, 3, 1, 1, 1, 1))[0]
    x = SPACING * (cell % 3 - 1) + rng.uniform(-0.02, 0.02)
    y = SPACING * (cell // 3 - 1) + rng.uniform(-0.02, 0.02)
    thing = _sample_thing(rng, ground, {"small": 25, "medium": 40, "large": 35}, x, y)
    return Scene(things=(thing,), ground=ground, cell=CELLS[cell])


def _two(rng: random.Random, ground: Ground) -> Scene:
    relation = rng.choice(tuple(RELATIONS))
    along, beside = rng.uniform(0.22, 0.27), rng.uniform(-0.06, 0.06)
    sign = -1 if relation in ("left", "above") else 1
    x, y = (sign * along, beside) if relation in ("left", "right") else (beside, sign * along)
    sizes = {"small": 40, "medium": 60}
    first = _sample_thing(rng, ground, sizes, x, y)
    if rng.random() < 0.2:
        return Scene(things=(first, replace(first, x=-x, y=-y)), ground=ground)
    second = _sample_thing(rng, ground, sizes, -x, -y)
    while (second.shape, second.colour) == (first.shape, first.colour):
        second = _sample_thing(rng, ground, sizes, -x, -y)
    return Scene(things=(first, second), ground=ground, relation=relation)


def is_pair(scene: Scene) -> bool:
    """Say whether a scene shows two equal objects."""
    return len(scene.things) == 2 and scene.relation is None


def _sample_emphasis(scene: Scene, rng: random.Random) -> dict[str, float]:
    names = ["size0", "size0", "colour0", "shape0", "ground", "colour0+shape0", "size0+colour0+shape0"]
    if scene.cell not in (None, "center"):
        names.append("position0")
    if scene.things[0].style in ("outline", "soft", "shaded"):
        names.append("style0")
    if scene.ground.kind != "plain":
        names.append("pattern")
    if scene.relation is not None:
        names += ["size1", "colour1", "shape1", "colour1+shape1"]
    chosen: dict[str, float] = {}
    for group in rng.sample(names, rng.choice((1, 1, 2))):
        weight = rng.choice((1.1, 1.21, 0.909, round(rng.uniform(0.5, 1.0), 1), round(rng.uniform(1.0, 1.8), 1)))
        chosen.update((name, weight) for name in group.split("+"))
    if is_pair(scene):  # one word stands for both
        chosen.update({f"{name[:-1]}1": weight for name, weight in chosen.items() if name.endswith("0")})
    return chosen


CHANGES = ("colour0", "shape0", "ground")
"""Slots that `changed` may change; the position in this tuple plus one is its code."""


def changed(scene: Scene, rng: random.Random) -> tuple[int, Scene]:
    """Return a scene that differs in one word, and which: its code in `CHANGES` plus one, 0 when nothing could differ.

    Pairs of such scenes teach a network to follow a prompt that changes half-way, as in `[red:blue:0.5]`.
    """
    if is_pair(scene):
        return 0, scene
    slot = rng.choices(CHANGES, (5, 2, 2))[0]
    used = {scene.ground.first, scene.ground.second, scene.things[0].colour}
    values = [
        value for value in choices(slot) if value != scene.value(slot) and (slot == "shape0" or value not in used)
    ]
    value = rng.choice(values)
    if slot == "ground":
        return CHANGES.index(slot) + 1, replace(scene, ground=replace(scene.ground, first=value))
    thing = scene.things[0]
    if slot == "shape0" and value == "ring" and thing.style == "outline":
        value = "circle" if thing.shape != "circle" else "square"
    thing = replace(thing, shape=value) if slot == "shape0" else replace(thing, colour=value)
    return CHANGES.index(slot) + 1, replace(scene, things=(thing, *scene.things[1:]))
