"""Every hook point is reached by a job of the pipeline, and what fails there leaves the picture as it is."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modules.domain.plan import TextOptions
from modules.domain.request import (
    BatchSpec,
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    MaskSpec,
    OutputSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.hooks import points
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import (
    HOOKS,
    READ_ONLY,
    AfterBlend,
    AfterConditioning,
    BeforeBatches,
    BeforeGrid,
    BeforeOverlay,
    ExtraNoise,
    Hook,
    WrapDenoise,
    WrapNetwork,
    WrapPass,
    WrapSampling,
)
from modules.sampling.batching import pick
from modules.sampling.noise import GivenNoise
from modules.sampling.types import Conditioning
from modules.sampling.walks import Start
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


def painted(*, save: bool = True) -> Generation:
    """Return a request that reaches every point: two pictures and a grid, painted into a part of another one."""
    return replace(
        request(save=save), init=InitSpec(images=(to_ref(Image.new("RGB", (64, 64), "teal")),), denoising_strength=0.9),
        mask=MaskSpec(image=to_ref(mask())), batch=BatchSpec(count=2),
        output=OutputSpec(save_images=save, save_grid=True),
    )  # fmt: skip


def mask() -> Image.Image:
    found = Image.new("L", (64, 64))
    found.paste(255, (16, 16, 48, 48))
    return found


def to_ref(image: Image.Image) -> ImageRef:
    data = io.BytesIO()
    image.save(data, "png")
    return ImageRef.of(data.getvalue())


MORE = {"img2img_extra_noise": 0.2, "img2img_fix_steps": True}


def test_all_points_are_listed_and_told_in_the_manual() -> None:
    found = {one for one in vars(points).values() if isinstance(one, type) and issubclass(one, Hook)} - {Hook}
    assert found == set(HOOKS)
    manual = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text(encoding="utf-8")
    assert [one.__name__ for one in HOOKS if f"`{one.__name__}`" not in manual] == []


def test_a_job_reaches_its_points_in_the_listed_order(studio: Studio) -> None:
    reached: list[type[Hook]] = []
    handlers = [Handler(name="looks", hook=one, call=lambda payload: reached.append(type(payload))) for one in HOOKS]
    studio.make(painted(), hooks=Hooks(handlers), **MORE)
    assert tuple(dict.fromkeys(reached)) == OF_A_JOB
    assert reached.count(points.AfterStep) == 6
    assert reached.count(points.WrapPass) == reached.count(points.WrapSampling) == 2
    assert reached.count(points.AfterBlend) == 2 * (3 + 1)


@pytest.mark.parametrize("hook", OF_A_JOB, ids=lambda one: one.__name__)
def test_a_failure_is_told_once_in_the_outcome_and_changes_nothing(studio: Studio, hook: type[Hook]) -> None:
    def fail(_payload: Hook) -> None:
        raise ValueError("nothing works")

    clean = studio.make(painted(save=False), **MORE)
    hooks = Hooks([Handler(name="a/b", hook=hook, call=fail)])
    spoilt = studio.make(painted(save=hook is points.AfterSave), hooks=hooks, **MORE)
    assert [one.data for one in spoilt.images] == [one.data for one in clean.images]
    assert spoilt.grid is not None
    assert clean.grid is not None
    assert spoilt.grid.data == clean.grid.data
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


def test_texts_can_be_encoded_in_another_way(studio: Studio) -> None:
    def wrap(payload: points.WrapConditioning) -> points.WrapConditioning:
        def encode(texts: Sequence[str], options: TextOptions) -> Conditioning:
            return payload.encode([text.replace("red", "blue") for text in texts], options)

        return replace(payload, encode=encode)

    def fail(payload: points.WrapConditioning) -> points.WrapConditioning:
        return replace(payload, encode=lambda *_: 1 / 0)

    plain, blue = (replace(request(save=False), prompt=f"a {colour} circle") for colour in ("red", "blue"))
    assert pixels(studio.make(plain, hooks=hooked(points.WrapConditioning, wrap))) == pixels(studio.make(blue))
    failed = studio.make(plain, hooks=hooked(points.WrapConditioning, fail))
    assert pixels(failed) == pixels(studio.make(plain))
    assert any("failed at WrapConditioning" in note.text for note in failed.notes)


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


def hooked(hook: type[Hook], call: Callable[..., Hook | None]) -> Hooks:
    return Hooks([Handler(name="a", hook=hook, call=call)])


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DDIM", "DPM++ SDE", "DPM++ 2M CFG++"])
def test_a_batch_and_its_passes_can_be_walked_by_hand(studio: Studio, sampler: str) -> None:
    """Walking from the given start is what would have been done anyway, whatever the sampler draws."""
    asked = replace(request(save=False), prompt="a red circle", sampling=SamplingSpec(sampler=sampler, steps=3))
    asked = replace(asked, hires=HiresSpec(scale=2.0, upscaler="Latent", denoising_strength=0.6))
    plain = replace(asked, hires=None)

    def batch(payload: WrapSampling) -> WrapSampling:
        return replace(payload, sample=lambda: payload.walk(payload.start))

    def drawn(payload: WrapPass) -> WrapPass:
        noise = GivenNoise(payload.start.noise.initial(), payload.start.noise)
        return replace(payload, start=replace(payload.start, noise=noise))

    assert pixels(studio.make(plain, hooks=hooked(WrapSampling, batch))) == pixels(studio.make(plain))
    assert pixels(studio.make(asked, hooks=hooked(WrapPass, drawn))) == pixels(studio.make(asked))
    # A batch that is walked by hand has no hires pass.
    assert pixels(studio.make(asked, hooks=hooked(WrapSampling, batch))) == pixels(studio.make(plain))


def test_a_walk_may_start_elsewhere(studio: Studio) -> None:
    """Noise, prompts, scale, sampler, steps and a latent of a start are what the walk uses."""
    asked = replace(request(save=False), prompt="a red circle")
    other = replace(
        asked, prompt="a blue square", seed=SeedSpec(seed=9), sampling=SamplingSpec(sampler="Heun", steps=4),
        guidance=replace(asked.guidance, cfg_scale=3.0),
    )  # fmt: skip
    starts: list[Start] = []

    def keep(payload: WrapPass) -> WrapPass:
        noise = GivenNoise(payload.start.noise.initial(), payload.start.noise)
        starts.append(replace(payload.start, noise=noise))
        return replace(payload, start=starts[-1])

    wanted = studio.make(other, hooks=hooked(WrapPass, keep))
    assert pixels(studio.make(asked, hooks=hooked(WrapPass, lambda one: replace(one, start=starts[0])))) == pixels(
        wanted
    )
    assert pixels(studio.make(asked)) != pixels(wanted)

    def twice(payload: WrapSampling) -> WrapSampling:
        def sample() -> torch.Tensor:
            x = payload.walk(payload.start)
            large = torch.nn.functional.interpolate(x, scale_factor=2.0)
            noise = GivenNoise(torch.zeros_like(large), payload.start.noise)
            return payload.walk(replace(payload.start, latent=large, strength=0.5, noise=noise))

        return replace(payload, sample=sample)

    assert (studio.make(asked, hooks=hooked(WrapSampling, twice)).images[0].width) == 128


def test_the_network_can_be_asked_in_another_way(studio: Studio) -> None:
    """Answering row by row is the same as answering all at once."""
    rows: list[int] = []

    def wrap(payload: WrapNetwork) -> WrapNetwork:
        def predict(x: torch.Tensor, sigma: torch.Tensor, told: Conditioning) -> torch.Tensor:
            rows.append(len(x))
            parts = [payload.predict(x[i : i + 1], sigma[i : i + 1], pick(told, i)) for i in range(len(x))]
            return torch.cat(parts)

        return replace(payload, predict=predict)

    def zero(payload: WrapNetwork) -> WrapNetwork:
        return replace(payload, predict=lambda x, sigma, told: torch.zeros_like(x))

    found, plain = studio.make(request(save=False), hooks=hooked(WrapNetwork, wrap)), studio.make(request(save=False))
    assert rows == [3, 3, 3]
    assert (
        np.abs(np.frombuffer(pixels(found), np.uint8).astype(int) - np.frombuffer(pixels(plain), np.uint8)).max() <= 1
    )
    empty = [studio.make(replace(request(save=False), seed=SeedSpec(seed=one)), hooks=hooked(WrapNetwork, zero)) for one in (1, 2)]  # fmt: skip
    assert pixels(empty[0]) == pixels(empty[1])


def test_what_a_run_on_a_picture_starts_from_can_be_changed(studio: Studio) -> None:
    seen: list[BeforeBatches] = []

    def other(payload: BeforeBatches) -> BeforeBatches:
        seen.append(payload)
        assert payload.latent is not None
        assert payload.repaint is not None
        assert payload.overlays[0].mode == "RGBA"
        return replace(payload, latent=payload.latent * 0, repaint=payload.repaint * 0)

    changed = studio.make(painted(save=False), hooks=hooked(BeforeBatches, other), inpainting_mask_weight=1.0)
    assert len(seen) == 1
    assert pixels(changed) != pixels(studio.make(painted(save=False)))
    # Nothing is repainted, so pictures of all seeds are what the latent of zeros is under the overlay.
    assert pixels(changed) == Image.open(io.BytesIO(changed.images[1].data)).tobytes()


def test_mixtures_under_a_mask_can_be_changed(studio: Studio) -> None:
    """Taking back the mixing, in each call and at last, is a run without a mask under the overlay."""
    sigmas: list[bool] = []

    def back(payload: AfterBlend) -> AfterBlend:
        sigmas.append(payload.sigma is not None)
        expected = payload.current * payload.repaint + payload.clean * (1 - payload.repaint)
        assert torch.equal(payload.blended, expected)
        return replace(payload, blended=payload.current)

    bare = painted(save=False)
    free = studio.make(bare, hooks=hooked(AfterBlend, back), overlay_inpaint=False)
    assert sigmas == [True, True, True, False] * 2 or sigmas.count(False) == 2
    assert pixels(free) == pixels(studio.make(replace(bare, mask=None)))


def test_extra_noise_can_be_changed(studio: Studio) -> None:
    """Without it a picture is that of the setting 0."""
    asked = painted(save=False)

    def none(payload: ExtraNoise) -> ExtraNoise:
        return replace(payload, noise=torch.zeros_like(payload.noise))

    without = studio.make(asked, hooks=hooked(ExtraNoise, none), img2img_extra_noise=0.5)
    assert pixels(without) == pixels(studio.make(asked))
    assert pixels(without) != pixels(studio.make(asked, img2img_extra_noise=0.5))


def test_what_lies_over_a_picture_can_be_changed(studio: Studio) -> None:
    red = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    for asked in (painted(save=False), request(save=False)):
        covered = studio.make(asked, hooks=hooked(BeforeOverlay, lambda one: replace(one, overlay=red)))
        assert pixels(covered) == red.convert("RGB").tobytes()
    bare = studio.make(painted(save=False), hooks=hooked(BeforeOverlay, lambda one: replace(one, overlay=None)))
    assert pixels(bare) == pixels(studio.make(painted(save=False), overlay_inpaint=False))


def test_an_overview_can_be_laid_out(studio: Studio) -> None:
    def one_row(payload: BeforeGrid) -> BeforeGrid:
        assert (payload.rows, payload.columns) == (1, 2)
        return replace(payload, pictures=payload.pictures[::-1], rows=2, columns=1)

    found = studio.make(painted(save=False), hooks=hooked(BeforeGrid, one_row)).grid
    assert found is not None
    assert (found.width, found.height) == (64, 128)


def test_the_kept_text_tells_what_became_known_late(studio: Studio) -> None:
    def tell(payload: points.BeforeSave) -> points.BeforeSave:
        return replace(payload, infotext=f"{payload.infotext}, Late: yes")

    studio.make(request(save=False), hooks=hooked(points.BeforeSave, tell))
    assert studio.shop.last_prompt is not None
    assert studio.shop.last_prompt.read_text().endswith("Late: yes")


@pytest.mark.parametrize("hook", READ_ONLY, ids=lambda one: one.__name__)
def test_what_is_read_only_stays(hook: type[Hook]) -> None:
    fields = {
        "controls": {}, "send": print, "app": None, "plan": None, "batch": None, "step": 1, "image_plan": None,
        "path": Path(), "image": None,
    }  # fmt: skip
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
