"""Every hook point is reached by a job of the pipeline, and what fails there leaves the picture as it is."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from modules.domain.request import Generation, OutputSpec, SamplingSpec, SeedSpec, Size
from modules.domain.result import Outcome
from modules.hooks import points
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import HOOKS, READ_ONLY, AfterConditioning, Hook, WrapDenoise
from tests.pipeline.workshop import Studio, open_studio

OF_A_JOB = HOOKS[HOOKS.index(points.PlanMade) : HOOKS.index(points.AppStopping)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    found = open_studio(tmp_path_factory.mktemp("data"))
    yield found
    found.shop.output.close()


def request(*, save: bool = True) -> Generation:
    return Generation(
        prompt="a red circle AND a blue square", negative_prompt="grey", size=Size(width=64, height=64),
        sampling=SamplingSpec(sampler="Euler", steps=3), seed=SeedSpec(seed=5), output=OutputSpec(save_images=save),
    )  # fmt: skip


def test_all_points_are_listed_and_told_in_the_manual() -> None:
    found = {one for one in vars(points).values() if isinstance(one, type) and issubclass(one, Hook)} - {Hook}
    assert found == set(HOOKS)
    manual = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text(encoding="utf-8")
    assert [one.__name__ for one in HOOKS if f"`{one.__name__}`" not in manual] == []


def test_a_job_reaches_its_points_in_the_listed_order(studio: Studio) -> None:
    reached: list[type[Hook]] = []
    handlers = [Handler(name="looks", hook=one, call=lambda payload: reached.append(type(payload))) for one in HOOKS]
    studio.make(request(), hooks=Hooks(handlers))
    assert tuple(dict.fromkeys(reached)) == OF_A_JOB
    assert reached.count(points.AfterStep) == 3


@pytest.mark.parametrize("hook", OF_A_JOB, ids=lambda one: one.__name__)
def test_a_failure_is_told_once_in_the_outcome_and_changes_nothing(studio: Studio, hook: type[Hook]) -> None:
    def fail(_payload: Hook) -> None:
        raise ValueError("nothing works")

    clean = studio.make(request(save=False))
    spoilt = studio.make(
        request(save=hook is points.AfterSave), hooks=Hooks([Handler(name="a/b", hook=hook, call=fail)])
    )
    assert spoilt.images[0].data == clean.images[0].data
    assert [note.text for note in spoilt.notes] == [f"a/b failed at {hook.__name__}: nothing works"]


@pytest.mark.parametrize("first_bad_call", [1, 2, 3])
@pytest.mark.parametrize("asks_first", [False, True])
def test_a_wrapped_denoiser_that_fails_later_leaves_the_rest_to_the_one_inside(
    studio: Studio, first_bad_call: int, asks_first: bool
) -> None:
    calls = 0

    def wrap(payload: WrapDenoise) -> WrapDenoise:
        def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls < first_bad_call:
                return payload.denoise(x, sigma)
            if asks_first:
                payload.denoise(x, sigma)
            raise ValueError("nothing works")

        return replace(payload, denoise=denoise)

    clean = studio.make(request(save=False), skip_early_cond=0.5)
    hooks = Hooks([Handler(name="a", hook=WrapDenoise, call=wrap)])
    spoilt = studio.make(request(save=False), hooks=hooks, skip_early_cond=0.5)
    assert spoilt.images[0].data == clean.images[0].data
    assert calls == first_bad_call
    assert len(spoilt.notes) == 1


def test_a_fault_of_the_network_is_not_blamed_on_an_extension() -> None:
    def broken(_x: torch.Tensor, _sigma: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("of the network")

    def wrap(payload: WrapDenoise) -> WrapDenoise:
        return replace(payload, denoise=lambda x, sigma: payload.denoise(x, sigma))

    told: list[str] = []
    hooks = Hooks([Handler(name=name, hook=WrapDenoise, call=wrap) for name in "ab"], note=told.append)
    wrapped = hooks.run(WrapDenoise(plan=None, batch=None, denoise=broken))  # pyright: ignore[reportArgumentType]
    with pytest.raises(RuntimeError, match="of the network"):
        wrapped.denoise(torch.zeros(1), torch.zeros(1))
    assert told == []


def test_encoded_prompts_can_be_changed(studio: Studio) -> None:
    def swap(payload: AfterConditioning) -> AfterConditioning:
        assert [len(parts) for parts in payload.positives] == [2]
        return replace(payload, positives=tuple(parts[::-1][:1] for parts in payload.positives))

    second = replace(request(save=False), prompt="a blue square")
    changed = studio.make(request(save=False), hooks=Hooks([Handler(name="a", hook=AfterConditioning, call=swap)]))
    alone = studio.make(second)
    assert pixels(changed) == pixels(alone)


def pixels(outcome: Outcome) -> bytes:
    return Image.open(io.BytesIO(outcome.images[0].data)).tobytes()


@pytest.mark.parametrize("hook", READ_ONLY, ids=lambda one: one.__name__)
def test_what_is_read_only_stays(hook: type[Hook]) -> None:
    fields = {"app": None, "plan": None, "batch": None, "step": 1, "image_plan": None, "path": Path(), "image": None}
    names = hook.__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue]
    payload = hook(**{name: value for name, value in fields.items() if name in names})
    other = replace(payload)
    assert Hooks([Handler(name="a", hook=hook, call=lambda _payload: other)]).run(payload) is payload


def test_further_handlers_join_the_order_and_share_the_notes() -> None:
    told: list[str] = []

    def fail(_payload: Hook) -> None:
        raise ValueError("x")

    first = Hooks([Handler(name="b", hook=points.AppStopping, call=fail)], note=told.append)
    both = first.adding([Handler(name="a", hook=points.AppStopping, call=fail)])
    both.run(points.AppStopping())
    assert told == ["a failed at AppStopping: x", "b failed at AppStopping: x"]
    assert first.adding([]) is first
