"""Captions: the many ways to say what a scene shows, leaving things out as people do."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from modules.training.shapes.scenes import Scene, is_pair
from modules.training.shapes.vocabulary import FILLER, OPENINGS, RELATIONS, SHAPES, SIZES, SLOTS, STYLES

Word = tuple[str, str | None]
"""Text, and the slot it speaks of."""

SAID = MappingProxyType(
    {"colour": 0.94, "shape": 0.97, "size": 0.55, "style": 0.85, "position": 0.75, "ground": 0.95, "pattern": 0.95}
)
"""How often a full caption mentions a slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A text in pieces of equal weight."""

    pieces: tuple[tuple[str, float], ...]
    said: frozenset[str]
    """Slots that the text speaks of."""

    def __str__(self) -> str:
        """Return the caption as a prompt, weights in brackets."""
        parts = [text if weight == 1.0 else f"({text}:{weight:g})" for text, weight in self.pieces]
        return " ".join(parts).replace(" ,", ",")


def full_caption(scene: Scene, rng: random.Random) -> Caption:
    """Describe a scene completely in one plain sentence; used for measuring."""
    said = {slot for slot in SLOTS if scene.value(slot) is not None}
    if scene.things[0].style == "flat" and rng.random() < 0.7:
        said.discard("style0")
    words = [*_thing(scene, 0, said, rng, plain=True), *_place(scene, said, rng), *_ground_end(scene, said, rng, True)]
    return _finish(scene, words)


def write_caption(scene: Scene, rng: random.Random) -> Caption:
    """Describe a scene in random words; emphasised slots are always mentioned."""
    always = set(scene.emphasis)
    roll = rng.random()
    if roll < 0.1:
        said = set(rng.sample([s for s in SLOTS if scene.value(s) is not None], 1)) | always
    elif roll < 0.17:
        said = {"shape0", "colour0", *always}
    else:
        said = _choose(scene, rng) | always
    if is_pair(scene):
        said = {slot for slot in said if not slot.endswith("1")} | {"shape0"}
    if said & {"colour1", "size1", "style1", "relation"}:
        said |= {"shape0", "shape1"}
    if "ground2" in said:
        said.add("ground")
    words = _tags(scene, said, rng) if rng.random() < 0.22 else _sentence(scene, said, rng)
    return _finish(scene, _filled(words, rng))


def _choose(scene: Scene, rng: random.Random) -> set[str]:
    said = set[str]()
    for slot in SLOTS:
        value, share = scene.value(slot), SAID.get(slot.rstrip("012"), 1.0)
        if value == "flat":
            share = 0.25
        if value is not None and rng.random() < share:
            said.add(slot)
    if len(scene.things) == 2 and rng.random() < 0.9:
        said |= {"colour0", "shape0", "colour1", "shape1"} if scene.relation else {"colour0", "shape0"}
    return said


def _finish(scene: Scene, words: Iterable[Word]) -> Caption:
    """Join neighbours of equal weight, as the prompt parser does."""
    pieces: list[tuple[str, float]] = []
    said = set[str]()
    for text, slot in words:
        weight = 1.0
        if slot is not None:
            said.add(slot)
            weight = scene.emphasis.get(slot, 1.0)
        if pieces and pieces[-1][1] == weight:
            pieces[-1] = (f"{pieces[-1][0]} {text}", weight)
        else:
            pieces.append((text, weight))
    return Caption(pieces=tuple(pieces), said=frozenset(said))


def _word(names: Sequence[str], rng: random.Random) -> str:
    return names[0] if len(names) == 1 or rng.random() < 0.7 else rng.choice(names[1:])


def _article(words: list[Word]) -> Word:
    return ("an" if words[0][0][0] in "aeiou" else "a", None)


def _thing(scene: Scene, index: int, said: set[str], rng: random.Random, *, plain: bool = False) -> list[Word]:
    """Name an object: "a large red circle"."""
    thing = scene.things[index]
    adjectives: list[Word] = []
    if f"size{index}" in said:
        adjectives.append((thing.size if plain else _word(SIZES[thing.size], rng), f"size{index}"))
    if f"style{index}" in said:
        adjectives.append((STYLES[thing.style][0] if plain else _word(STYLES[thing.style], rng), f"style{index}"))
    if f"colour{index}" in said:
        adjectives.append((thing.colour, f"colour{index}"))
    if not plain and rng.random() < 0.2:
        rng.shuffle(adjectives)
    name = thing.shape if plain else _word(SHAPES[thing.shape], rng)
    noun: Word = (name, f"shape{index}") if f"shape{index}" in said else (rng.choice(("shape", "object")), None)
    if is_pair(scene):
        return [("two", None), *adjectives, (_plural(noun[0]), noun[1])]
    if noun[1] is None and adjectives and not plain and rng.random() < 0.4:
        return adjectives  # people also say just "red"
    words = [*adjectives, noun]
    return [_article(words), *words] if plain or rng.random() < 0.85 else words


def _plural(noun: str) -> str:
    return noun + ("es" if noun[-1] in "sx" else "s")


def _place(scene: Scene, said: set[str], rng: random.Random) -> list[Word]:
    if scene.cell is None or "position0" not in said:
        return []
    if scene.cell == "center":
        return rng.choice(
            [
                [("in the", None), ("center", "position0")],
                [("in the", None), ("middle", "position0")],
                [("centered", "position0")],
            ]
        )
    cell = scene.cell
    if rng.random() < 0.2:
        cell = cell.replace("top", "upper").replace("bottom", "lower") if " " in cell else cell
    end: list[Word] = [(rng.choice(("corner", "side")) if " " in cell else "side", None)] if rng.random() < 0.3 else []
    return [(rng.choice(("in the", "at the", "on the")), None), (cell, "position0"), *end]


def _ground(scene: Scene, said: set[str], rng: random.Random, plain: bool = False) -> list[Word]:
    """Name the background without an article: "blue background"."""
    ground = scene.ground
    first: list[Word] = [(ground.first, "ground")] if "ground" in said else []
    pattern: list[Word] = [(ground.kind, "pattern")] if "pattern" in said else []
    if ground.kind == "plain":
        keep = pattern if not plain and rng.random() < 0.25 else []
        return [*keep, *first, ("background", None)] if first or keep else []
    if not first and not pattern:
        return []
    both = [*first, ("and", None), (ground.second, "ground2")] if "ground2" in said else first
    if ground.kind == "gradient" and "ground2" in said:
        return [*first, ("to", None), (ground.second, "ground2"), *pattern, ("background", None)]
    if ground.kind == "dotted" and "ground2" in said and pattern and rng.random() < 0.5:
        return [*first, ("background with", None), (ground.second, "ground2"), ("dots", "pattern")]
    return [*both, *pattern, ("background", None)]


def _ground_end(scene: Scene, said: set[str], rng: random.Random, plain: bool = False) -> list[Word]:
    words = _ground(scene, said, rng, plain)
    if not words:
        return []
    joint = "on" if plain else rng.choices(("on", "with", "against", "over"), (60, 20, 12, 8))[0]
    article = [_article(words)] if plain or rng.random() < 0.85 else []
    return [(joint, None), *article, *words]


def _things(scene: Scene, said: set[str], rng: random.Random) -> list[Word]:
    words = _thing(scene, 0, said, rng)
    if scene.relation is None:
        return [*words, *_place(scene, said, rng)]
    if not said & {"shape1", "colour1"}:
        return words
    joint: Word = ("and", None)
    if "relation" in said and rng.random() < 0.88:
        joint = (_word(RELATIONS[scene.relation], rng), "relation")
    return [*words, joint, *_thing(scene, 1, said, rng)]


def _sentence(scene: Scene, said: set[str], rng: random.Random) -> list[Word]:
    says_thing = any(slot[-1] in "01" for slot in said)
    if not says_thing:
        return _ground(scene, said, rng) or [("shape", None)]
    things = _things(scene, said, rng)
    if rng.random() < 0.15:
        things = [(rng.choice(OPENINGS), None), *things]
    if rng.random() < 0.12:
        ground = _ground(scene, said, rng)
        return [*ground, (",", None), *things] if ground else things
    comma: list[Word] = [(",", None)] if rng.random() < 0.1 else []
    ground = _ground_end(scene, said, rng)
    return [*things, *comma, *ground] if ground else things


def _tags(scene: Scene, said: set[str], rng: random.Random) -> list[Word]:
    """Say it as a list: "red circle, large, top left, blue background"."""
    tags: list[list[Word]] = [_ground(scene, said, rng)]
    if len(scene.things) == 2:
        tags.append(_things(scene, said, rng))
    else:
        thing = scene.things[0]
        apart = {slot for slot in ("size0", "style0") if slot in said and rng.random() < 0.6}
        if said & {"shape0", "colour0", "size0", "style0"} - apart:
            tags.append([word for word in _thing(scene, 0, said - apart, rng) if word[0] not in ("a", "an")])
        if "size0" in apart:
            tags.append([(_word(SIZES[thing.size], rng), "size0")])
        if "style0" in apart:
            style: Word = (_word(STYLES[thing.style], rng), "style0")
            tags.append([style, ("style", None)] if rng.random() < 0.4 else [style])
        if "position0" in said and scene.cell is not None:
            tags.append([(scene.cell, "position0")])
    rng.shuffle(tags)
    return _join(tags)


def _join(tags: Iterable[list[Word]]) -> list[Word]:
    words: list[Word] = []
    for tag in filter(None, tags):
        words += [(",", None), *tag] if words else tag
    return words or [("shape", None)]


def _filled(words: list[Word], rng: random.Random) -> list[Word]:
    if rng.random() >= 0.25:
        return words
    filler: list[list[Word]] = [[(text, None)] for text in rng.sample(FILLER, rng.choice((1, 2, 3, 5)))]
    return _join([*filler, words] if rng.random() < 0.5 else [words, *filler])
