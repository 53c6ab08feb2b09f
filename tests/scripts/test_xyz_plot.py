"""The X/Y/Z plot: values, axes, order of the runs, grids, what is told and read back."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded, WebuiError
from modules.domain.events import Noted, Progressed
from modules.domain.request import (  # fmt: skip
    BatchSpec,
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    OutputSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.hooks.axes import Axis
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterDecode, AxesOffered, PlanMade
from modules.imaging.infotext_parse import parse_infotext
from tests.extending.brightness import Lighten
from tests.scripts.script_house import ScriptHouse, opened, part_of, script_house

TITLE = "X/Y/Z plot"
OFF = ("Nothing", "", [])
BASE = Generation(
    prompt="a red circle", size=Size(width=64, height=64), seed=SeedSpec(seed=5),
    sampling=SamplingSpec(sampler="Euler", steps=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptHouse]:
    with script_house(tmp_path_factory.mktemp("xyz") / "data", Lighten()) as found:
        yield found


def args(x: Any, y: Any = OFF, z: Any = OFF, **more: Any) -> list[Any]:
    """Return the arguments in A1111's order."""
    switches = (
        ("legend", False), ("lone", False), ("sub_grids", False), ("keep", False), ("vary_x", False), ("vary_y", False),
        ("vary_z", False), ("margin", 0), ("csv", False),
    )  # fmt: skip
    return [*x, *y, *z, *(more.get(name, default) for name, default in switches)]


def typed(kind: Any, text: str) -> tuple[Any, str, list[str]]:
    return kind, text, []


def cells(grid: Image.Image, columns: int, rows: int, size: int = 64) -> list[list[Image.Image]]:
    """Cut a grid without labels into its pictures."""
    assert grid.size == (columns * size, rows * size)
    return [
        [grid.crop((x * size, y * size, x * size + size, y * size + size)) for x in range(columns)] for y in range(rows)
    ]


def same(one: Image.Image, other: Image.Image) -> bool:
    return bool((np.asarray(one) == np.asarray(other)).all())


def plot(house: ScriptHouse, request: Generation, *given: Any, **more: Any) -> Outcome:
    return house.run(TITLE, request, *given, **more)


def test_axes_have_the_places_that_clients_know(house: ScriptHouse) -> None:
    axes = part_of("xyz_plot", "axes")
    names = {tab: [axis.label for axis in axes.offered(tab, Hooks(), ())] for tab in ("txt2img", "img2img")}
    assert len(names["txt2img"]) == 42
    assert len(names["img2img"]) == 41
    assert names["txt2img"][:9] == [
        "Nothing", "Seed", "Var. seed", "Var. strength", "Steps", "Hires steps", "CFG Scale", "Prompt S/R", "Prompt order",
    ]  # fmt: skip
    assert names["img2img"][5:8] == ["CFG Scale", "Image CFG Scale", "Prompt S/R"]
    assert names["txt2img"][-1] == names["img2img"][-1] == "Size"


def test_each_place_shows_its_own_run(house: ScriptHouse) -> None:
    outcome = plot(house, BASE, *args(typed(7, "red,green,blue"), typed(6, "3-7 (+4)")))
    (grid,) = outcome.images
    for cfg, row in zip((3.0, 7.0), cells(opened(grid), 3, 2), strict=True):
        for colour, cell in zip(("red", "green", "blue"), row, strict=True):
            one = replace(BASE, prompt=f"a {colour} circle", guidance=replace(BASE.guidance, cfg_scale=cfg))
            assert same(cell, house.alone(one))
    assert [image.prompt.split()[1] for image in outcome.plan.images] == ["red", "green", "blue"] * 2
    assert [text.split()[1] for text in outcome.texts] == ["red", "green", "blue"] * 2


def test_the_grid_tells_its_axes_and_they_are_read_back(house: ScriptHouse) -> None:
    outcome = plot(house, BASE, *args(typed("Prompt S/R", "red,green"), typed("CFG Scale", "3-7 (+4)")))
    text = outcome.images[0].infotext
    assert 'Script: X/Y/Z plot, X Type: Prompt S/R, X Values: "red,green", Y Type: CFG Scale, Y Values: 3-7 (+4), Version' in text  # fmt: skip
    title, found = house.scripts.pasted_call("txt2img", parse_infotext(text))
    assert title == "x/y/z plot"
    assert (found["x_type"], found["x_values"]) == ("Prompt S/R", "red,green")
    assert (found["y_type"], found["y_values"], found["z_type"]) == ("CFG Scale", "3-7 (+4)", "Nothing")
    assert house.scripts.pasted_call("txt2img", parse_infotext(outcome.texts[0])) == ("", {})
    assert "X Type" not in outcome.texts[0]


def test_sizes_are_read_back_and_smaller_pictures_are_centred(house: ScriptHouse) -> None:
    outcome = plot(house, BASE, *args(typed("Size", "64x32,64x64")))
    grid = opened(outcome.images[0])
    assert grid.size == (128, 64)
    assert grid.getpixel((5, 5)) == (255, 255, 255)
    assert same(grid.crop((64, 0, 128, 64)), house.alone(BASE))
    entries = parse_infotext(plot(house, BASE, *args(typed("Size", "64x32"))).images[0].infotext)
    assert house.scripts.pasted_call("txt2img", entries)[1]["x_values"] == "64x32"


def test_legend_and_margins_make_room(house: ScriptHouse) -> None:
    axes = (typed("Steps", "1,2"), typed("CFG Scale", "3,7"))
    grid = opened(plot(house, BASE, *args(*axes, legend=True, margin=10)).images[0])
    assert grid.width == 48 + 2 * 64 + 10
    assert grid.height > 2 * 64 + 10 + 5
    plain = opened(plot(house, BASE, *args(*axes)).images[0])
    assert same(grid.crop((48, grid.height - 138, 112, grid.height - 74)), plain.crop((0, 0, 64, 64)))


def test_z_puts_grids_beside_each_other(house: ScriptHouse) -> None:
    axes = (typed("Steps", "1,2"), typed("CFG Scale", "3,7"), typed("Seed", "8,9"))
    outcome = plot(house, BASE, *args(*axes, lone=True, sub_grids=True))
    whole, *rest = outcome.images
    subs, lone = rest[:2], rest[2:]
    assert [one.plan for one in (whole, *subs)] == [None] * 3
    assert opened(whole).size == (256, 128)
    for place, sub in enumerate(subs):
        assert same(opened(whole).crop((place * 128, 0, place * 128 + 128, 128)), opened(sub))
        assert "Z Type" not in sub.infotext
        assert f"Seed: {8 + place}," in sub.infotext
    assert "Z Type: Seed" in whole.infotext
    assert [one.plan.seed for one in lone if one.plan] == [8] * 4 + [9] * 4
    assert same(opened(lone[3]), cells(opened(subs[0]), 2, 2)[1][1])
    assert outcome.texts == ()


def test_random_seeds_are_drawn_once_and_told(house: ScriptHouse) -> None:
    random = replace(BASE, seed=SeedSpec())
    outcome = plot(house, random, *args(typed("Steps", "1,2"), lone=True))
    first, second = (one.plan.seed for one in outcome.images[1:] if one.plan)
    assert first == second
    outcome = plot(house, random, *args(typed("Seed", "-1,-1,4"), lone=True))
    seeds = [one.plan.seed for one in outcome.images[1:] if one.plan]
    assert len(set(seeds)) == 3
    assert seeds[2] == 4
    assert f'Fixed X Values: "{seeds[0]}, {seeds[1]}, 4"' in outcome.images[0].infotext
    kept = plot(house, random, *args(typed("Steps", "1,2"), lone=True, keep=True))
    assert len({one.plan.seed for one in kept.images[1:] if one.plan}) == 2


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"vary_x": True}, [5, 6, 5, 6]),
        ({"vary_y": True}, [5, 5, 6, 6]),
        ({"vary_x": True, "vary_y": True}, [5, 6, 7, 8]),
    ],
)
def test_seeds_can_vary_along_an_axis(house: ScriptHouse, switches: dict[str, bool], expected: list[int]) -> None:
    axes = (typed("Steps", "1,2"), typed("CFG Scale", "3,7"))
    outcome = plot(house, BASE, *args(*axes, lone=True, **switches))
    assert [one.plan.seed for one in outcome.images[1:] if one.plan] == expected


def test_the_dearest_axis_changes_least_often(house: ScriptHouse) -> None:
    made: list[tuple[str, int]] = []

    def watch(payload: PlanMade) -> None:
        made.append((payload.plan.model.name, payload.plan.main.steps))

    handler = Handler(name="watch", hook=PlanMade, call=watch)
    axes = (typed("Checkpoint name", "toy,zebra"), typed("Steps", "1,2"))
    outcome = plot(house, BASE, *args(*axes, lone=True), handlers=(handler,))
    assert made == [("toy", 1), ("toy", 2), ("zebra", 1), ("zebra", 2)]
    assert ["Model: toy" in one.infotext for one in outcome.images[1:]] == [True, False] * 2


def test_settings_and_values_of_scripts_vary(house: ScriptHouse) -> None:
    outcome = plot(
        house, BASE, *args(typed("[Lighten it] Amount", "0,100"), ("RNG source", "", ["GPU", "CPU"]), lone=True)
    )
    plain, light, other, _ = (opened(one) for one in outcome.images[1:])
    assert same(plain, house.alone(BASE))
    assert light.tobytes() == bytes(min(value + 100, 255) for value in plain.tobytes())
    assert same(other, house.alone(BASE, randn_source="CPU"))
    assert "RNG: CPU" in outcome.images[3].infotext
    assert 'X Values: "0,100", Y Type: RNG source, Y Values: "GPU,CPU"' in outcome.images[0].infotext


def test_lists_are_used_unless_texts_are_wanted(house: ScriptHouse) -> None:
    axis = ("Sampler", "Heun", ["Euler", "DPM++ 2M"])
    assert 'X Values: "Euler,DPM++ 2M"' in plot(house, BASE, *args(axis)).images[0].infotext
    assert "X Values: Heun" in plot(house, BASE, *args(axis, csv=True)).images[0].infotext


def test_parts_of_a_prompt_in_every_order(house: ScriptHouse) -> None:
    outcome = plot(
        house, replace(BASE, prompt="red, a circle; big"), *args(typed("Prompt order", "big,red"), lone=True)
    )
    assert [one.prompt for one in outcome.plan.images] == ["big, a circle; red", "red, a circle; big"]


def test_refiner_and_denoising_go_where_they_belong(house: ScriptHouse) -> None:
    axes = part_of("xyz_plot", "axes")
    known = {axis.label: axis for axis in axes.offered("txt2img", Hooks(), ())}

    def applied(label: str, value: Any, request: Generation = BASE) -> Generation:
        return known[label].apply(request, value, [value])

    assert applied("Denoising", 0.3) == BASE
    hires = replace(BASE, hires=HiresSpec())
    assert applied("Denoising", 0.3, hires).hires == HiresSpec(denoising_strength=0.3)
    started = replace(BASE, init=InitSpec(images=(ImageRef.of(b"x"),)))
    changed = applied("Denoising", 0.3, started).init
    assert changed is not None
    assert changed.denoising_strength == 0.3
    refined = applied("Refiner checkpoint", "zebra")
    assert refined.refiner is not None
    assert (refined.refiner.checkpoint, refined.refiner.switch_at) == ("zebra", 0.8)
    later = applied("Refiner switch at", 0.5, refined).refiner
    assert later is not None
    assert later.switch_at == 0.5
    assert applied("Refiner checkpoint", "None", refined).refiner is None
    assert applied("Styles", "a, b").styles == ("a", "b")
    assert applied("UniPC Order", 9).overrides == {"uni_pc_order": 1}
    assert applied("Initial noise multiplier", 0.5).overrides == {"initial_noise_multiplier": 0.5}


@pytest.mark.parametrize(
    ("axis", "told"),
    [
        (typed(99, "1"), "no axis 99"),
        (typed("Zoom", "1"), "no axis 'Zoom'"),
        (typed("Steps", "two"), "'two' is no whole number"),
        (typed("Steps", ""), "at least one value"),
        (typed("Steps", "0,1"), "X value 0 of Steps"),
        (typed("Prompt S/R", "blue,green"), "did not find 'blue'"),
        (typed("Prompt order", "red,blue"), "did not find 'blue'"),
        (typed("Sampler", "Euler,Zorp"), "Zorp"),
        (typed("Checkpoint name", "toy,gone"), "gone"),
        (typed("VAE", "gone.safetensors"), "gone"),
        (typed("Clip skip", "1,99"), "99"),
        (typed("Size", "64x64,9000x9000"), "9000"),
        (typed("Face restore", "codeformer"), "face restoration"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_made(house: ScriptHouse, axis: Any, told: str) -> None:
    with pytest.raises(WebuiError, match=told):
        plot(house, BASE, *args(axis))
    assert not house.studio.told(Progressed)


def test_tables_that_are_too_large_are_refused(house: ScriptHouse) -> None:
    with pytest.raises(LimitExceeded, match="img_max_size_mp"):
        plot(house, BASE, *args(typed("Eta", "1-16"), typed("Seed", "1-16")), img_max_size_mp=1)
    with pytest.raises(LimitExceeded, match="api_max_images_per_request"):
        plot(house, BASE, *args(typed("Steps", "1-20")), api_max_images_per_request=19)


def broken_at(steps: int, error: Exception) -> Handler:
    def fail(payload: PlanMade) -> None:
        if payload.plan.main.steps == steps:
            raise error

    return Handler(name="break", hook=PlanMade, call=fail, essential=True)


def test_a_run_that_fails_leaves_its_place_empty(house: ScriptHouse) -> None:
    broken = broken_at(2, InvalidRequest("no such luck"))
    outcome = plot(house, BASE, *args(typed("Steps", "1,2,3"), lone=True), handlers=(broken,))
    first, second, _ = cells(opened(outcome.images[0]), 3, 1)[0]
    assert second.getcolors() == [(64 * 64, (0, 0, 0))]
    assert same(first, opened(outcome.images[1]))
    assert len(outcome.images) == 3
    assert any("X 2" in event.text and "no such luck" in event.text for event in house.studio.told(Noted))
    with pytest.raises(InvalidRequest, match="no such luck"):
        plot(house, BASE, *args(typed("Steps", "2")), handlers=(broken,))


def test_an_early_end_keeps_what_is_finished(house: ScriptHouse) -> None:
    cancel, decoded = CancelToken(), []

    def stop(payload: AfterDecode) -> None:
        decoded.append(payload)
        if len(decoded) == 2:
            cancel.set(CancelReason.STOP)

    handler = Handler(name="stop", hook=AfterDecode, call=stop)
    outcome = plot(house, BASE, *args(typed("Seed", "1-5")), handlers=(handler,), cancel=cancel)
    assert outcome.interrupted
    assert len(decoded) == len(outcome.texts) == 2
    row = cells(opened(outcome.images[0]), 5, 1)[0]
    assert [cell.getcolors() == [(64 * 64, (0, 0, 0))] for cell in row] == [False, False, True, True, True]


def test_progress_counts_all_runs(house: ScriptHouse) -> None:
    plot(house, replace(BASE, batch=BatchSpec(count=2)), *args(typed("Seed", "1,2,3")))
    steps = house.studio.told(Progressed)
    assert {event.num_batches for event in steps} == {6}
    assert [event.batch for event in steps if event.step == 1] == [0, 1, 2, 3, 4, 5]


def test_pictures_of_a_batch_share_a_place(house: ScriptHouse) -> None:
    outcome = plot(house, replace(BASE, batch=BatchSpec(size=4)), *args(typed("CFG Scale", "3,7"), lone=True))
    grid = cells(opened(outcome.images[0]), 2, 1, size=128)[0][0]
    four = [cell for row in cells(grid, 2, 2) for cell in row]
    assert [same(cell, opened(one)) for cell, one in zip(four, outcome.images[1:5], strict=True)] == [True] * 4
    assert len(outcome.plan.images) == 8


def test_files(house: ScriptHouse) -> None:
    saved = replace(BASE, output=OutputSpec(save_images=True, save_grid=True))
    outcome = plot(house, saved, *args(typed("Seed", "1,2")))
    path = outcome.images[0].saved_as
    assert path is not None
    assert path.name.startswith("xyz_grid-0000")
    assert path.read_bytes() == outcome.images[0].data
    assert len(list((path.parents[2] / "txt2img-images").rglob("*.png"))) == 2
    assert plot(house, BASE, *args(typed("Seed", "1,2"))).images[0].saved_as is None


def test_extensions_may_bring_axes(house: ScriptHouse) -> None:
    def more_cfg(request: Generation, value: float, every: Sequence[float]) -> Generation:
        return replace(request, guidance=replace(request.guidance, cfg_scale=value + len(every)))

    own = Axis(label="Own", apply=more_cfg, read=lambda entries: [float(one) for one in entries], tabs=("txt2img",))
    handler = Handler(
        name="own", hook=AxesOffered, call=lambda payload: AxesOffered(tab=payload.tab, axes=(*payload.axes, own))
    )
    outcome = plot(house, BASE, *args(typed("own", "1,2"), lone=True), handlers=(handler,))
    assert ["CFG scale: 3.0," in one.infotext for one in outcome.images[1:]] == [True, False]
    assert "X Type: Own" in outcome.images[0].infotext


def test_arguments_of_img2img(house: ScriptHouse) -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 20, 20)).save(data, "png")
    started = replace(BASE, init=InitSpec(images=(ImageRef.of(data.getvalue()),)))
    outcome = plot(house, started, *args(typed("Denoising", "0.2,0.9")))
    low, high = cells(opened(outcome.images[0]), 2, 1)[0]
    assert not same(low, high)
    assert "Denoising strength: 0.2" in outcome.texts[0]


def test_the_list_of_scripts_names_the_axes(house: ScriptHouse) -> None:
    script = house.scripts.selectable_named(TITLE)
    offer: Any = SimpleNamespace(tab="img2img", hooks=Hooks(), scripts=())
    found = script.choices(offer)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert found["x_type"][6] == "Image CFG Scale"
