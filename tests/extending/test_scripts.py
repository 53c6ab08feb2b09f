"""Values of scripts: read from the API, the page and texts, carried by the request, told in the infotext."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image

from modules.domain.errors import InvalidRequest
from modules.domain.param import param
from modules.domain.request import Generation, SamplingSpec, ScriptCall, SeedSpec, Size
from modules.domain.result import Outcome
from modules.engine.serialise import from_json, to_json
from modules.extending.discover import Extension
from modules.extending.metadata import Metadata
from modules.extending.registry import Registry
from modules.extending.scripts import Scripts
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterDecode
from modules.imaging.infotext_parse import parse_infotext
from tests.extending.brightness import Light, Lighten, Repeat
from tests.pipeline.workshop import Studio, open_studio

SCRIPTS = Scripts([Lighten()], [Repeat()])
DEFAULTS = {"enabled": True, "amount": 10, "mode": "all", "places": []}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    found = open_studio(tmp_path_factory.mktemp("data"))
    found.shop = replace(found.shop, scripts=SCRIPTS.runner)
    yield found
    found.shop.output.close()


def request(**more: Any) -> Generation:
    return Generation(
        prompt="a red circle", size=Size(width=64, height=64), sampling=SamplingSpec(sampler="Euler", steps=2),
        seed=SeedSpec(seed=5), **more,
    )  # fmt: skip


def made(studio: Studio, wanted: Generation) -> Outcome:
    return studio.make(wanted, hooks=Hooks(SCRIPTS.handlers(wanted)))


def picture(outcome: Outcome, number: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(outcome.images[number].data)).convert("RGB")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([True], {"lighten": DEFAULTS}),
        ([True, 20, "red"], {"lighten": {**DEFAULTS, "amount": 20, "mode": "red"}}),
        ([True, 20.0, "red", ["a", "b"]], {"lighten": {**DEFAULTS, "amount": 20, "mode": "red", "places": ["a", "b"]}}),
        ({"enabled": True, "mode": "red"}, {"lighten": {**DEFAULTS, "mode": "red"}}),
        ([False, 20], {}),
        ([], {}),
    ],
)
def test_arguments_of_the_api(args: Any, expected: Any) -> None:
    assert SCRIPTS.asked("txt2img", {"LIGHTEN it": {"args": args}}) == expected


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([True, 300], "Lighten it: amount"),
        ([True, "x"], "Lighten it: amount: expected a number"),
        ([True, 1, "blue"], "'blue' is not one of all, red"),
        ([True, 1, "red", [], 5], "5 arguments for Lighten it, which takes 4"),
        ({"enabled": True, "size": 3}, "no parameter 'size'"),
        ("text", "must be a list"),
    ],
)
def test_arguments_that_do_not_fit(args: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        SCRIPTS.asked("txt2img", {"lighten it": {"args": args}})


def test_a_script_changes_the_picture_and_is_told(studio: Studio) -> None:
    plain = made(studio, request())
    values = SCRIPTS.chosen("txt2img", {"lighten": {"enabled": True, "amount": 20, "places": ["a", "b, c"]}})
    light = made(studio, request(scripts=values))
    before, after = picture(plain), picture(light)
    assert after.tobytes() == bytes(min(value + 20, 255) for value in before.tobytes())
    assert 'Lighten amount: 20, Lighten mode: all, Lighten places: "a, b, c"' in light.images[0].infotext
    assert "Lighten" not in plain.images[0].infotext


def test_a_script_that_is_switched_off_costs_nothing() -> None:
    wanted = request(scripts=SCRIPTS.chosen("txt2img", {"lighten": {"enabled": False, "amount": 20}}))
    assert wanted.scripts == {}
    assert SCRIPTS.handlers(wanted) == []


def test_a_script_without_a_switch_always_runs(studio: Studio) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Amount:
        amount: int = param(7, label="Amount", infotext="Always")

    class Always(Lighten):
        id, label, Params = "always", "Always", Amount

        def hooks(self, params: Any) -> Any:
            return super().hooks(Light(amount=params.amount))

    scripts = Scripts([Always()])
    plain, light = picture(made(studio, request())), studio.make(request(), hooks=Hooks(scripts.handlers(request())))
    assert picture(light).tobytes() == bytes(min(value + 7, 255) for value in plain.tobytes())
    assert "Always: 7" in light.images[0].infotext


def test_values_survive_the_ledger() -> None:
    values = SCRIPTS.chosen("txt2img", {"lighten": {"enabled": True, "amount": 20, "places": ["a"]}})
    wanted = request(scripts=values)
    again = from_json(Generation, to_json(wanted))
    assert again == wanted
    assert [one.name for one in SCRIPTS.handlers(again)] == ["lighten:infotext", "lighten:lighten"]


def test_values_of_another_time_are_refused_with_a_reason() -> None:
    with pytest.raises(InvalidRequest, match="amount"):
        SCRIPTS.handlers(request(scripts=MappingProxyType({"lighten": {"amount": "many"}})))
    assert SCRIPTS.handlers(request(scripts=MappingProxyType({"gone": {"amount": "many"}}))) == []


def test_the_infotext_is_read_back(studio: Studio) -> None:
    values = SCRIPTS.chosen(
        "txt2img", {"lighten": {"enabled": True, "amount": 20, "mode": "red", "places": ["a", "b"]}}
    )
    text = made(studio, request(scripts=values)).images[0].infotext
    assert SCRIPTS.pasted("txt2img", parse_infotext(text)) == values
    text = made(studio, request()).images[0].infotext
    assert SCRIPTS.pasted("txt2img", parse_infotext(text)) == {"lighten": {"enabled": False}}
    assert SCRIPTS.pasted("img2img", {"Lighten amount": "9999"}) == {"lighten": {"enabled": False}}


def test_a_selectable_script_makes_several_runs(studio: Studio) -> None:
    call = ScriptCall(name="repeat IT", args=(3,))
    assert SCRIPTS.check_call(call, "txt2img")
    assert not SCRIPTS.check_call(call, "img2img")
    outcome = made(studio, request(script=call))
    assert [image.plan.seed for image in outcome.images if image.plan] == [5, 6, 7]
    alone = made(studio, replace(request(), seed=SeedSpec(seed=6)))
    assert picture(outcome, 1).tobytes() == picture(alone).tobytes()
    with pytest.raises(InvalidRequest, match="over the limit"):
        SCRIPTS.check_call(ScriptCall(name="Repeat it", args=(9,)), "txt2img")


def test_both_kinds_go_together(studio: Studio) -> None:
    values = SCRIPTS.chosen("txt2img", {"lighten": {"enabled": True, "amount": 20}})
    outcome = made(studio, request(script=ScriptCall(name="Repeat it"), scripts=values))
    plain = made(studio, request())
    assert len(outcome.images) == 2
    assert picture(outcome).tobytes() == bytes(min(value + 20, 255) for value in picture(plain).tobytes())


@dataclass(frozen=True)
class UnknownList:
    name: str = param("", label="Name", choices="everything")


@dataclass(frozen=True)
class WrongDefault:
    number: int = param(5, label="Number", le=3)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"id": "A script"}, "is no id"),
        ({"Params": int}, "must be a dataclass"),
        ({"Params": Generation}, "other data"),
        ({"Params": UnknownList}, "none of checkpoints"),
    ],
)
def test_what_is_no_script_is_refused(changed: dict[str, Any], told: str) -> None:
    registry = Registry(Extension(name="a", folder=None, metadata=Metadata(name="a")))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=told):
        registry.script(type("Other", (Lighten,), changed)())


def test_of_two_with_one_id_the_first_counts() -> None:
    first, second = Lighten(), Lighten()
    assert Scripts([first, second]).always("txt2img") == (first,)


def test_handlers_of_one_name_do_not_collide(studio: Studio) -> None:
    class Twice(Lighten):
        def hooks(self, params: Any) -> Any:
            return [*super().hooks(params), *super().hooks(params)]

    scripts = Scripts([Twice()])
    wanted = request(scripts=scripts.chosen("txt2img", {"lighten": {"enabled": True, "amount": 20}}))
    hooks = Hooks([Handler(name="lighten/lighten", hook=AfterDecode, call=lambda payload: None)])
    light = studio.make(wanted, hooks=hooks.adding(scripts.handlers(wanted)))
    plain = picture(made(studio, request()))
    assert picture(light).tobytes() == bytes(min(value + 40, 255) for value in plain.tobytes())


def test_a_script_that_cannot_make_its_handlers_does_not_fail_the_job(studio: Studio) -> None:
    class Broken(Lighten):
        def hooks(self, params: Any) -> Any:
            raise ValueError("nothing works")

    scripts = Scripts([Broken()])
    wanted = request(scripts=scripts.chosen("txt2img", {"lighten": {"enabled": True}}))
    outcome = studio.make(wanted, hooks=Hooks(scripts.handlers(wanted)))
    assert picture(outcome).tobytes() == picture(made(studio, request())).tobytes()
    assert [note.text for note in outcome.notes] == ["lighten:hooks failed at PlanMade: nothing works"]


def test_a_default_out_of_range_is_refused() -> None:
    registry = Registry(Extension(name="a", folder=None, metadata=Metadata(name="a")))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidRequest, match="number: 5 is over the limit of 3"):
        registry.script(type("Other", (Lighten,), {"Params": WrongDefault})())
