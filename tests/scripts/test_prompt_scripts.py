"""Scripts that make pictures of several prompts: a list of lines, and every combination of parts."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.events import Progressed
from modules.domain.request import BatchSpec, Generation, OutputSpec, SamplingSpec, SeedSpec, Size
from modules.domain.result import Outcome
from tests.scripts.script_house import FOLDER, ScriptHouse, opened, part_of, script_house, stopping_after

LINES, MATRIX = "Prompts from file or textbox", "Prompt matrix"
BASE = Generation(
    prompt="a circle", size=Size(width=64, height=64), seed=SeedSpec(seed=5),
    sampling=SamplingSpec(sampler="Euler", steps=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptHouse]:
    with script_house(tmp_path_factory.mktemp("prompts") / "data") as found:
        yield found


def prompts(outcome: Outcome) -> list[str]:
    return [one.plan.prompt for one in outcome.images if one.plan]


def seeds(outcome: Outcome) -> list[int]:
    return [one.plan.seed for one in outcome.images if one.plan]


def same(one: Any, other: Any) -> bool:
    return bool((np.asarray(one) == np.asarray(other)).all())


def lines(house: ScriptHouse, text: str, *first: Any, request: Generation = BASE, **more: Any) -> Outcome:
    given = (False, False, "start")
    return house.run(LINES, request, *(*first, *given[len(first) :]), text, **more)


def test_each_line_is_a_run(house: ScriptHouse) -> None:
    outcome = lines(house, "red\n\n  big, blue  \n--prompt green thing --steps 1 --cfg_scale 4.5 --seed 9")
    assert {event.num_batches for event in house.studio.told(Progressed)} == {3}
    assert prompts(outcome) == ["red a circle", "big, blue a circle", "green thing a circle"]
    assert seeds(outcome) == [5, 5, 9]
    assert same(opened(outcome.images[0]), house.alone(replace(BASE, prompt="red a circle")))
    assert "Steps: 1," in outcome.images[2].infotext
    assert "CFG scale: 4.5," in outcome.images[2].infotext
    assert [image.prompt for image in outcome.plan.images] == prompts(outcome)


def test_prompts_go_where_they_are_wanted(house: ScriptHouse) -> None:
    assert prompts(lines(house, "red", False, False, "end")) == ["a circle red"]
    assert prompts(lines(house, "red", request=replace(BASE, prompt=""))) == ["red"]
    outcome = lines(house, "--negative_prompt ugly --prompt red", request=replace(BASE, negative_prompt="bad"))
    assert [one.plan.negative_prompt for one in outcome.images if one.plan] == ["ugly bad"]


def test_seeds_of_lines(house: ScriptHouse) -> None:
    random = replace(BASE, seed=SeedSpec(), batch=BatchSpec(count=2))
    one, two, three, four = seeds(lines(house, "a\nb", request=random))
    assert (two, four) == (one + 1, three + 1)
    assert one != three
    one, two, three, four = seeds(lines(house, "a\nb", True, request=random))
    assert [two, three, four] == [one + 1, one + 2, one + 3]
    one, two, three, four = seeds(lines(house, "a\nb", False, True, request=random))
    assert (three, four) == (one, two)


def test_options_of_a_line(house: ScriptHouse) -> None:
    module = part_of("prompts_from_file", "lines")
    line = (
        '--prompt "two words" more --negative_prompt no --width 128 --height 64 --batch_size 2 --n_iter 3 --tiling true '
        "--do_not_save_samples yes --sampler_name 'DPM++ 2M' --subseed 3 --subseed_strength 0.5 --styles \"a, b\" "
        "--sd_model zebra --outpath_samples outputs/other --prompt_for_display x"
    )
    shared = replace(BASE, output=OutputSpec(save_images=True))
    made = module.apply(shared, module.read_line(line), at_start=True)
    assert made.prompt == "two words more a circle"
    assert (made.negative_prompt, made.size, made.batch) == (
        "no",
        Size(width=128, height=64),
        BatchSpec(size=2, count=3),
    )
    assert (made.post.tiling, made.output.save_images, made.sampling.sampler) == (True, False, "DPM++ 2M")
    assert (made.seed.subseed, made.seed.subseed_strength, made.styles) == (3, 0.5, ("a", "b"))
    assert (made.model.checkpoint, made.overrides) == ("zebra", {"outdir_samples": "outputs/other"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("fine\n--zoom 3", "line 2: there is no option '--zoom'"),
        ("--steps many", "line 1: 'many' is no whole number"),
        ("--cfg_scale x", "'x' is no number"),
        ("--tiling perhaps", "neither true nor false"),
        ("--steps", "--steps needs a value"),
        ('--prompt "open', "line 1: No closing quotation"),
        ("--prompt a --steps 0", "line 1: .*steps"),
        ("--sd_model gone", "line 1: .*gone"),
        ("--prompt a stray", None),
        ("a -- b --steps 3", None),
    ],
)
def test_lines_that_cannot_be_done(house: ScriptHouse, text: str, told: str | None) -> None:
    if told is None:
        assert lines(house, text).images
        return
    with pytest.raises(InvalidRequest, match=told):
        lines(house, text)


def test_limits_of_lines(house: ScriptHouse) -> None:
    with pytest.raises(LimitExceeded, match="api_max_images_per_request"):
        lines(house, "a\nb\nc", api_max_images_per_request=2)
    with pytest.raises(InvalidRequest, match="one prompt"):
        lines(house, "a", request=replace(BASE, prompt=("a", "b")))


def test_folders_of_lines_are_checked(house: ScriptHouse) -> None:
    saved = replace(BASE, output=OutputSpec(save_images=True))
    path = lines(house, "--prompt a --outpath_samples outputs/other", request=saved).images[0].saved_as
    assert path is not None
    assert "outputs/other" in path.as_posix()
    outside = lines(house, "--prompt a --outpath_samples /etc/other", request=saved).images[0]
    assert outside.saved_as is None
    assert outside.save_error


def test_an_early_end_keeps_the_lines_that_are_done(house: ScriptHouse) -> None:
    handler, cancel = stopping_after(2)
    outcome = lines(house, "a\nb\nc\nd", handlers=(handler,), cancel=cancel)
    assert outcome.interrupted
    assert len(outcome.images) == 2


def matrix(house: ScriptHouse, prompt: str, *args: Any, **more: Any) -> Outcome:
    return house.run(MATRIX, replace(BASE, prompt=prompt, **more), *args)


def test_every_combination_of_parts(house: ScriptHouse) -> None:
    outcome = matrix(house, "a circle|red|, big ,|on a table")
    assert prompts(outcome) == [
        "a circle", "a circle, red", "a circle,  big ", "a circle, red,  big ", "a circle, on a table",
        "a circle, red, on a table", "a circle,  big , on a table", "a circle, red,  big , on a table",
    ]  # fmt: skip
    assert seeds(outcome) == [5] * 8
    grid, second = outcome.images[0], outcome.images[2]
    assert grid.plan is None
    assert grid.width == 48 + 4 * 64
    image = opened(grid)
    assert same(image.crop((48 + 64, image.height - 128, 48 + 128, image.height - 64)), opened(second))
    assert same(opened(second), house.alone(replace(BASE, prompt="a circle, red")))


def test_choices_of_the_matrix(house: ScriptHouse) -> None:
    assert prompts(matrix(house, "a|b|c", True, False, "positive", "space")) == ["a", "b a", "c a", "b c a"]
    assert seeds(matrix(house, "a|b", False, True)) == [5, 6]
    outcome = matrix(house, "a", False, False, "negative", negative_prompt="x|y")
    assert [one.plan.negative_prompt for one in outcome.images if one.plan] == ["x", "x, y"]
    assert prompts(outcome) == ["a", "a"]
    assert len(matrix(house, "alone").images) == 2
    wide = matrix(house, "a|b", False, False, "positive", "comma", 10)
    assert wide.images[0].width == 2 * 64 + 10
    grid = matrix(house, "a|b", output=OutputSpec(save_images=True, save_grid=True)).images[0]
    assert grid.saved_as is not None
    assert grid.saved_as.name.startswith("prompt_matrix-0000")


def test_batches_of_the_matrix_are_used(house: ScriptHouse) -> None:
    together = matrix(house, "a circle|red|big", batch=BatchSpec(size=4))
    apart = matrix(house, "a circle|red|big")
    for one, other in zip(together.images[1:], apart.images[1:], strict=True):
        difference = np.asarray(opened(one)).astype(int) - np.asarray(opened(other))
        assert np.abs(difference).mean() < 1


def test_what_the_matrix_refuses(house: ScriptHouse) -> None:
    with pytest.raises(LimitExceeded, match="parts"):
        matrix(house, "|".join("abcdefghijklmnopqrst"))
    with pytest.raises(InvalidRequest, match="one prompt"):
        house.run(MATRIX, replace(BASE, prompt=("a", "b")))


def test_an_early_end_leaves_places_empty(house: ScriptHouse) -> None:
    handler, cancel = stopping_after(2)
    request = replace(BASE, prompt="a|b|c")
    outcome = house.run(MATRIX, request, handlers=(handler,), cancel=cancel)
    assert len(outcome.images) == 3
    image = opened(outcome.images[0])
    assert image.getpixel((image.width - 1, image.height - 1)) == (0, 0, 0)


def test_nothing_heavy_is_imported_while_scripts_are_loaded() -> None:
    code = "import sys; from modules.extending.loader import load_all; from modules.extending.discover import program_scripts; "
    code += f"from pathlib import Path; loaded = load_all((), [], own=program_scripts(Path({str(FOLDER)!r}))); "
    code += (
        "print(len(loaded.selectable), [name for name in ('torch', 'gradio', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == ["5", "[]"]
