"""Scenes, their drawing and their captions agree with each other."""

import random

import pytest
import torch

from modules.training.shapes.captions import Caption, full_caption, write_caption
from modules.training.shapes.dataset import labels_of, make_dataset, says_change, tokens
from modules.training.shapes.drawing import DISTANCES, draw, masks
from modules.training.shapes.measure import palette, read_pixels
from modules.training.shapes.scenes import (
    CHANGES,
    SCENE_NUMBERS,
    Ground,
    Scene,
    Thing,
    changed,
    is_held_out,
    is_pair,
    sample_scene,
)
from modules.training.shapes.vocabulary import COLOURS, SHAPES, SLOTS, choices


def sampled(count: int, seed: int = 0, **options: object) -> list[Scene]:
    rng = random.Random(seed)
    return [sample_scene(rng, **options) for _ in range(count)]  # pyright: ignore[reportArgumentType]


def numbers(scenes: list[Scene]) -> torch.Tensor:
    return torch.tensor([scene.numbers() for scene in scenes])


def lone(**thing: object) -> Scene:
    facts = {"shape": "circle", "colour": "red", "size": "large", "style": "flat", "x": 0.0, "y": 0.0, **thing}
    ground = Ground(kind="plain", first="white", second="black")
    return Scene(things=(Thing(**facts),), ground=ground, cell="center")  # pyright: ignore[reportArgumentType]


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, second = draw(numbers(sampled(8)), 64, 64), draw(numbers(sampled(8)), 64, 64)
    assert torch.equal(first, second)
    assert not torch.equal(first, draw(numbers(sampled(8, seed=1)), 64, 64))


def test_a_window_is_a_cut_of_the_whole() -> None:
    what = numbers(sampled(6))
    left, top = torch.tensor([0, 5, 10, 20, 30, 32]), torch.tensor([32, 3, 0, 8, 16, 31])
    whole, window = draw(what, 96, 96), draw(what, 96, 96, (left, top, 64))
    for i in range(6):
        torch.testing.assert_close(window[i], whole[i, :, top[i] : top[i] + 64, left[i] : left[i] + 64])


def test_every_shape_has_a_distance_and_an_inside() -> None:
    assert set(DISTANCES) == set(SHAPES)
    areas = [masks(numbers([lone(shape=shape)]), 128, 128)[0, 0].mean().item() for shape in SHAPES]
    assert all(0.05 < area < 0.25 for area in areas)
    pictures = draw(numbers([lone(shape=shape) for shape in SHAPES]), 128, 128)
    apart = torch.cdist(pictures.flatten(1), pictures.flatten(1)) + 1e6 * torch.eye(len(SHAPES))
    assert apart.min() > 10  # no two shapes look alike


def test_pixels_show_what_a_plain_scene_says() -> None:
    scenes = [s for s in sampled(150, held_out=True, emphasis=0.0) if s.ground.kind == "plain"]
    readings = [read_pixels(picture) for picture in draw(numbers(scenes), 128, 128)]
    right = [
        (r.colour, r.ground, r.cell) == (s.things[0].colour, s.ground.first, s.cell)
        for r, s in zip(readings, scenes, strict=True)
    ]
    assert sum(right) / len(right) > 0.96


def test_objects_keep_their_colour_at_their_centre() -> None:
    solid = [lone(shape=shape, colour=colour) for shape in ("circle", "heart", "star") for colour in ("red", "blue")]
    centres = draw(numbers(solid), 128, 128)[:, :, 64, 64] / 2 + 0.5
    nearest = torch.cdist(centres, palette()).argmin(1)
    assert [tuple(COLOURS)[i] for i in nearest] == [scene.things[0].colour for scene in solid]


@pytest.mark.parametrize(
    ("slot", "size", "grows"), [("size0", "large", True), ("size0", "small", False), ("shape0", "large", True)]
)
def test_emphasis_changes_the_area(slot: str, size: str, grows: bool) -> None:
    plain = lone(size=size)
    strong = Scene(things=plain.things, ground=plain.ground, cell=plain.cell, emphasis={slot: 1.5})
    before, after = (masks(numbers([scene]), 128, 128).sum() for scene in (plain, strong))
    assert (after > 1.1 * before) if grows else (after < 0.9 * before)


def test_emphasis_makes_a_colour_stronger() -> None:
    weak, strong = (
        Scene(things=lone().things, ground=lone().ground, cell="center", emphasis={"colour0": weight})
        for weight in (0.6, 1.4)
    )
    dull, vivid = draw(numbers([weak, strong]), 128, 128)[:, :, 64, 64]
    assert vivid[0] - vivid[1] > dull[0] - dull[1] + 0.2


def test_held_out_combinations_never_come_up_in_training() -> None:
    for held_out in (False, True):
        singles = [s for s in sampled(400, held_out=held_out) if len(s.things) == 1]
        assert singles
        keys = [(s.things[0].shape, s.things[0].colour, s.ground.first) for s in singles]
        assert all(is_held_out(*key) is held_out for key in keys)


def test_captions_only_say_what_is_there() -> None:
    rng = random.Random(3)
    for scene in sampled(400, seed=3):
        caption = write_caption(scene, rng)
        assert all(scene.value(slot) is not None for slot in caption.said)
        text = str(caption)
        for slot in ("colour0", "ground", "colour1"):
            if slot in caption.said:
                assert str(scene.value(slot)) in text
        shown = {scene.ground.first, scene.ground.second, *(thing.colour for thing in scene.things)}
        assert not (set(COLOURS) - shown) & set(text.replace("(", " ").replace(":", " ").split())
        assert not [
            slot for slot in scene.emphasis if slot not in caption.said and not (is_pair(scene) and slot[-1] == "1")
        ]


def test_emphasised_words_carry_their_weight() -> None:
    scene = lone()
    scene = Scene(things=scene.things, ground=scene.ground, cell=scene.cell, emphasis={"size0": 1.5})
    caption = write_caption(scene, random.Random(0))
    assert 1.5 in [weight for _, weight in caption.pieces]
    assert ":1.5)" in str(caption)


def test_full_captions_name_everything_that_is_measured() -> None:
    rng = random.Random(0)
    for scene in sampled(50, held_out=True):
        assert {"colour0", "shape0", "position0", "ground"} <= full_caption(scene, rng).said


def test_tokens_are_those_of_the_product() -> None:
    from modules.nn.clip_tokenizer import load_clip_tokenizer

    tokenizer = load_clip_tokenizer()
    caption = Caption(pieces=(("a", 1.0), ("large", 1.5), ("red circle , 4k", 1.0)), said=frozenset())
    ids, weights = tokens(caption, tokenizer.encode)
    body = tokenizer.encode("a large red circle, 4k")
    assert ids == [49406, *body] + [49407] * (76 - len(body))
    assert weights[:4] == [1.0, 1.0, 1.5, 1.0]
    assert len(weights) == 77
    strange, marks = tokens(caption, tokenizer.encode, [5, 6])
    assert strange[3:5] == [5, 6]
    assert marks[2:6] == [1.5, 1.0, 1.0, 1.0]


def test_long_captions_are_cut_to_one_chunk() -> None:
    ids, weights = tokens(Caption(pieces=(("red", 1.1),), said=frozenset()), lambda text: [7] * 200)
    assert len(ids) == len(weights) == 77
    assert ids[-1] == 49407
    assert ids[-2] == 7


def test_a_changed_scene_differs_in_the_slot_it_names() -> None:
    rng = random.Random(2)
    for scene in sampled(200, seed=2):
        code, other = changed(scene, rng)
        if code == 0:
            assert is_pair(scene)
            continue
        differing = {slot for slot in SLOTS if scene.value(slot) != other.value(slot)}
        assert differing == {CHANGES[code - 1]}


def test_the_set_is_the_same_with_any_number_of_workers() -> None:
    one, two = make_dataset(0, 40, 2, workers=1), make_dataset(0, 40, 2, workers=1)
    assert torch.equal(one.ids, two.ids)
    assert one.numbers.shape == (40, SCENE_NUMBERS)
    assert one.ids.shape == one.weights.shape == (40, 2, 77)
    unsaid = torch.tensor([len(choices(slot)) for slot in SLOTS])
    assert (one.labels <= unsaid).all()
    rows, captions = torch.arange(40), torch.zeros(40, dtype=torch.long)
    said = says_change(one, rows, captions)
    assert said.any()
    for row in said.nonzero().flatten().tolist():
        slot = SLOTS.index(CHANGES[int(one.change[row]) - 1])
        assert one.labels[row, 0, slot] < unsaid[slot]


def test_labels_mark_what_is_not_said() -> None:
    scene = lone()
    labels = dict(zip(SLOTS, labels_of(scene, frozenset({"colour0"})), strict=True))
    assert labels["colour0"] == tuple(COLOURS).index("red")
    assert labels["shape0"] == len(SHAPES)
