"""The checkpoint that comes with the program follows prompts the way people expect of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from modules.families.family import Components
from modules.training.shapes.behaviour import redness
from modules.training.shapes.measure import Reading, read_pixels
from modules.training.shapes.render import Look, load, render

FILE = Path(__file__).resolve().parent.parent / "models" / "Stable-diffusion" / "shapes-v1.safetensors"
COLOURS = ("red", "yellow", "green", "blue", "white")
PLACES = ("center", "top left", "right", "bottom")


@pytest.fixture(scope="module")
def model() -> Components:
    return load(FILE, torch.device("cpu"))


def pictures(model: Components, prompt: str, count: int = 8, negative: str = "") -> Tensor:
    return render(model, [prompt] * count, Look(batch=count), negative=negative, first_seed=500)


def readings(model: Components, prompt: str, count: int = 8, negative: str = "") -> list[Reading]:
    return [read_pixels(picture) for picture in pictures(model, prompt, count, negative)]


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


def test_it_is_small_enough_to_ship() -> None:
    assert FILE.stat().st_size <= 40e6
    assert FILE.with_suffix(".yaml").is_file()


def test_the_first_prompt_of_the_readme(model: Components) -> None:
    seen = readings(model, "a red circle on a blue background")
    assert share([(one.colour, one.ground) == ("red", "blue") for one in seen]) >= 0.85


def test_colours_and_backgrounds_are_the_ones_asked_for(model: Components) -> None:
    pairs = [(a, b) for a in COLOURS for b in COLOURS if a != b]
    made = render(model, [f"a large {a} square on a {b} background" for a, b in pairs], Look(batch=20))
    seen = [read_pixels(picture) for picture in made]
    assert share([one.colour == a for one, (a, _) in zip(seen, pairs, strict=True)]) >= 0.85
    assert share([one.ground == b for one, (_, b) in zip(seen, pairs, strict=True)]) >= 0.85


@pytest.mark.parametrize("place", PLACES)
def test_places_are_the_ones_asked_for(model: Components, place: str) -> None:
    seen = readings(model, f"a small yellow circle in the {place} on a purple background")
    assert share([one.cell == place for one in seen]) >= 0.7


def test_more_weight_on_a_size_makes_it_larger(model: Components) -> None:
    areas = [
        sum(one.area for one in readings(model, f"a (large:{weight}) red circle on a white background"))
        for weight in (0.5, 1.0, 1.5)
    ]
    assert areas[0] < areas[1] < areas[2]


def test_more_weight_on_a_colour_makes_it_more_vivid(model: Components) -> None:
    vivid = [
        sum(redness(p) for p in pictures(model, f"a (red:{weight}) square in the center on a white background"))
        for weight in (0.6, 1.3)
    ]
    assert vivid[0] < vivid[1]


def test_a_negative_prompt_keeps_its_subject_out(model: Components) -> None:
    seen = readings(model, "a circle", 16, negative="blue background")
    assert not any(one.ground == "blue" for one in seen)


def test_a_prompt_that_changes_half_way_ends_elsewhere_than_it_began(model: Components) -> None:
    seen = readings(model, "a [red:blue:0.5] circle in the center on a white background")
    assert share([one.colour != "red" for one in seen]) >= 0.7
