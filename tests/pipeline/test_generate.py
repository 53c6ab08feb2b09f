"""From request to pictures on the toy family: the same pictures again, ends on request, faults that leave no trace."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image

from modules.domain.errors import BrokenFile, NumericalFault, OutOfMemory, UnsupportedCheckpoint
from modules.domain.events import ImageReady, Noted, Previewed, Progressed
from modules.domain.request import (
    BatchSpec,
    Generation,
    ModelChoice,
    OutputSpec,
    PostSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.families.toy.family import Toy
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterDecode, AfterStep, BeforeConditioning, WrapDenoise
from modules.imaging.infotext_parse import parse_infotext
from modules.imaging.read_info import read_picture_info
from modules.library.hashes import file_sha256
from modules.settings.infotext_keys import settings_in_infotext
from modules.settings.snapshot import Snapshot
from tests.pipeline.workshop import Studio


def request(**changes: object) -> Generation:
    plain = Generation(
        prompt="a red circle",
        size=Size(width=64, height=48),
        seed=SeedSpec(seed=7),
        sampling=SamplingSpec(sampler="Euler a", steps=4),
    )
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def pixels(outcome: Outcome) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(image.data))) for image in outcome.images]


def test_the_same_request_gives_the_same_bytes(studio: Studio) -> None:
    first, second = studio.make(request()), studio.make(request())
    assert first.images[0].data == second.images[0].data
    assert (first.images[0].width, first.images[0].height) == (64, 48)


def test_the_file_remembers_how_it_was_made_and_its_text_makes_it_again(studio: Studio) -> None:
    made = studio.make(request(prompt="a (blue:1.3) square", negative_prompt="red"))
    text = read_picture_info(made.images[0].data).infotext
    assert text == made.images[0].infotext
    assert text is not None
    told = parse_infotext(text)
    again = studio.make(
        request(
            prompt=told["Prompt"],
            negative_prompt=told["Negative prompt"],
            seed=SeedSpec(seed=int(told["Seed"])),
            sampling=SamplingSpec(sampler=told["Sampler"], scheduler=told["Schedule type"], steps=int(told["Steps"])),
        )
    )
    assert again.images[0].data == made.images[0].data


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE", "DPM++ 2M", "DDIM", "LCM"])
def test_a_batch_equals_single_runs(studio: Studio, sampler: str) -> None:
    sampling = SamplingSpec(sampler=sampler, steps=3)
    batch = pixels(studio.make(request(sampling=sampling, batch=BatchSpec(size=2, count=2))))
    for i, picture in enumerate(batch):
        alone = pixels(studio.make(request(sampling=sampling, seed=SeedSpec(seed=7 + i))))[0]
        assert np.abs(picture.astype(int) - alone).max() <= 1


def test_a_random_seed_is_drawn_once_and_told(studio: Studio) -> None:
    made = studio.make(request(seed=SeedSpec(), batch=BatchSpec(count=2)))
    first, second = (image.plan for image in made.images)
    assert first is not None
    assert second is not None
    assert second.seed == first.seed + 1
    assert f"Seed: {first.seed}," in made.images[0].infotext


def test_prompts_may_be_lists_with_one_text_per_picture(studio: Studio) -> None:
    made = studio.make(request(prompt=("red", "blue"), batch=BatchSpec(size=2)))
    assert [image.infotext.splitlines()[0] for image in made.images] == ["red", "blue"]


def test_odd_sizes_round_down_to_eight(studio: Studio) -> None:
    made = studio.make(request(size=Size(width=63, height=65)))
    assert (made.images[0].width, made.images[0].height) == (56, 64)


def test_the_old_way_of_emphasis_tells_what_it_cuts_off(studio: Studio) -> None:
    long = request(prompt="word " * 77)
    studio.make(long, use_old_emphasis_implementation=True)
    assert [note.text for note in studio.told(Noted)] == ["The prompt has 77 tokens; the last 2 are cut off"]
    studio.make(long)
    assert not studio.told(Noted)


def test_tiling_changes_the_picture_and_is_told(studio: Studio) -> None:
    plain, tiled = studio.make(request()), studio.make(request(post=PostSpec(tiling=True)))
    assert "Tiling: True" in tiled.images[0].infotext
    assert not np.array_equal(pixels(plain)[0], pixels(tiled)[0])
    assert plain.images[0].data == studio.make(request()).images[0].data


def test_progress_previews_and_pictures_are_told_in_order(studio: Studio) -> None:
    studio.make(request(batch=BatchSpec(count=2)))
    steps = [(event.batch, event.step) for event in studio.told(Progressed)]
    assert steps == [(batch, step) for batch in (0, 1) for step in (1, 2, 3, 4)]
    previews = studio.told(Previewed)
    assert [preview.number for preview in previews] == [1, 2, 3, 4]
    assert Image.open(io.BytesIO(previews[0].data)).size == (64, 48)
    assert [event.image.plan.index for event in studio.told(ImageReady) if event.image.plan] == [0, 1]


def ask_at(step: int, token: CancelToken, reason: CancelReason) -> Hooks:
    def ask(payload: AfterStep) -> None:
        if payload.step.index == step and payload.batch.number == 0:
            token.set(reason)

    return Hooks([Handler(name="asks", hook=AfterStep, call=ask)])


def test_interrupt_keeps_the_picture_so_far(studio: Studio) -> None:
    token = CancelToken()
    made = studio.make(request(batch=BatchSpec(count=3)), cancel=token, hooks=ask_at(1, token, CancelReason.INTERRUPT))
    assert made.interrupted
    assert len(made.images) == 1
    assert len(studio.told(Progressed)) == 2


def test_skip_ends_one_batch_and_stop_ends_after_it(studio: Studio) -> None:
    token = CancelToken()
    made = studio.make(request(batch=BatchSpec(count=2)), cancel=token, hooks=ask_at(0, token, CancelReason.SKIP))
    assert not made.interrupted
    assert len(studio.told(Progressed)) == 1 + 4
    token = CancelToken()
    made = studio.make(request(batch=BatchSpec(count=3)), cancel=token, hooks=ask_at(0, token, CancelReason.STOP))
    assert made.interrupted
    assert len(made.images) == 1
    assert len(studio.told(Progressed)) == 4


def test_interrupted_pictures_are_saved_only_on_request(studio: Studio) -> None:
    saving = request(output=OutputSpec(save_images=True))
    for wanted in (False, True):
        token = CancelToken()
        hooks = ask_at(0, token, CancelReason.INTERRUPT)
        made = studio.make(saving, cancel=token, hooks=hooks, save_incomplete_images=wanted)
        assert (made.images[0].saved_as is not None) is wanted
    assert studio.make(saving).images[0].saved_as is not None


def test_a_grid_shows_all_pictures(studio: Studio) -> None:
    made = studio.make(request(batch=BatchSpec(size=2, count=2), output=OutputSpec(save_grid=True)))
    assert made.grid is not None
    assert (made.grid.width, made.grid.height) == (128, 96)
    assert studio.make(request(output=OutputSpec(save_grid=True))).grid is None


def test_rescaled_guidance_is_told_and_read_back(studio: Studio) -> None:
    rescaled = studio.make(request(), cfg_rescale=0.7).images[0]
    assert rescaled.data != studio.make(request()).images[0].data
    assert settings_in_infotext(parse_infotext(rescaled.infotext), Snapshot())["cfg_rescale"] == 0.7


def test_the_last_run_is_remembered(studio: Studio) -> None:
    made = studio.make(request(prompt="something to keep"))
    assert studio.shop.last_prompt is not None
    assert studio.shop.last_prompt.read_text() == made.images[0].infotext


def test_extensions_may_rewrite_prompts_wrap_the_denoiser_and_change_pictures(studio: Studio) -> None:
    def rewrite(payload: BeforeConditioning) -> BeforeConditioning:
        images = tuple(replace(image, prompt="a blue square") for image in payload.batch.images)
        return replace(payload, batch=replace(payload.batch, images=images))

    def flatten(payload: WrapDenoise) -> WrapDenoise:
        return replace(payload, denoise=lambda x, sigma: torch.zeros_like(x))

    def shrink(payload: AfterDecode) -> AfterDecode:
        return replace(payload, image=payload.image.resize((8, 8)))

    rewritten = studio.make(request(), hooks=Hooks([Handler(name="r", hook=BeforeConditioning, call=rewrite)]))
    assert np.array_equal(pixels(rewritten)[0], pixels(studio.make(request(prompt="a blue square")))[0])
    flat = studio.make(request(), hooks=Hooks([Handler(name="f", hook=WrapDenoise, call=flatten)]))
    assert not np.array_equal(pixels(flat)[0], pixels(studio.make(request()))[0])
    small = studio.make(request(), hooks=Hooks([Handler(name="s", hook=AfterDecode, call=shrink)]))
    assert (small.images[0].width, small.images[0].height) == (8, 8)


def test_another_checkpoint_gives_another_picture_and_is_named(studio: Studio) -> None:
    first = studio.make(request())
    second = studio.make(request(model=ModelChoice(checkpoint="zebra")))
    assert "Model: zebra" in second.images[0].infotext
    assert not np.array_equal(pixels(first)[0], pixels(second)[0])
    assert studio.make(request()).images[0].data == first.images[0].data


def test_a_new_file_is_hashed_while_its_picture_is_sampled(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    (studio.models / "new.safetensors").write_bytes((studio.models / "zebra.safetensors").read_bytes())
    catalog = studio.shop.shelf().catalog
    catalog.refresh()
    sampled, in_time = Event(), list[bool]()

    def slow(path: Path, **_: object) -> str | None:
        in_time.append(sampled.wait(timeout=60))
        return file_sha256(path)

    def last(payload: AfterStep) -> None:
        if payload.step.index == 3:
            sampled.set()

    monkeypatch.setattr("modules.library.hashes.file_sha256", slow)
    hooks = Hooks([Handler(name="tells", hook=AfterStep, call=last)])
    made = studio.make(request(model=ModelChoice(checkpoint="new")), hooks=hooks)
    assert in_time == [True]
    digest = hashlib.sha256((studio.models / "new.safetensors").read_bytes()).hexdigest()
    assert f"Model hash: {digest[:10]}" in made.images[0].infotext
    assert catalog.get("new").title.endswith("]")
    (studio.models / "new.safetensors").unlink()
    catalog.refresh()


def test_a_broken_checkpoint_leaves_the_loaded_one_usable(studio: Studio) -> None:
    clean = studio.make(request())
    loaded = studio.shop.pool.loaded
    catalog = studio.shop.shelf().catalog
    for name, content in (("cut.safetensors", b"\x20"), ("page.safetensors", b"<html>" * 9)):
        path = studio.models / name
        path.write_bytes(content)
        catalog.refresh()
        with pytest.raises((BrokenFile, UnsupportedCheckpoint), match=name):
            studio.make(request(model=ModelChoice(checkpoint=path.stem)))
        path.unlink()
    catalog.refresh()
    assert studio.shop.pool.loaded == loaded
    assert studio.make(request()).images[0].data == clean.images[0].data


def test_a_missing_checkpoint_setting_falls_back_and_says_so(studio: Studio) -> None:
    studio.make(request(), sd_model_checkpoint="no such file")
    assert any("not found" in event.text for event in studio.told(Noted))


@pytest.mark.parametrize("call", range(1, 7))
def test_a_fault_at_any_call_leaves_the_next_picture_equal(studio: Studio, call: int) -> None:
    clean = studio.make(request())
    calls = 0

    def fail(payload: WrapDenoise) -> WrapDenoise:
        def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == call:
                raise RuntimeError("injected")
            return payload.denoise(x, sigma)

        return replace(payload, denoise=denoise)

    hooks = Hooks([Handler(name="fails", hook=WrapDenoise, call=fail, essential=True)])
    with pytest.raises(RuntimeError, match="injected"):
        studio.make(request(batch=BatchSpec(count=2)), hooks=hooks)
    assert studio.make(request()).images[0].data == clean.images[0].data


def test_nan_from_the_network_is_an_error_and_not_a_picture(studio: Studio) -> None:
    def spoil(payload: WrapDenoise) -> WrapDenoise:
        return replace(payload, denoise=lambda x, sigma: x * float("nan"))

    hooks = Hooks([Handler(name="spoils", hook=WrapDenoise, call=spoil)])
    with pytest.raises(NumericalFault, match="UNet"):
        studio.make(request(), hooks=hooks)
    assert not studio.told(ImageReady)


def test_decoding_without_memory_goes_to_tiles_and_then_gives_up(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = request(size=Size(width=512, height=448))
    whole = studio.make(big)
    family = Toy
    decode = family.decode

    def limited(self: object, model: object, x: torch.Tensor, tiling: bool) -> torch.Tensor:
        if x.shape[-1] * x.shape[-2] > 48 * 48:
            raise torch.OutOfMemoryError("too large")
        return decode(self, model, x, tiling)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(family, "decode", limited)
    tiled = studio.make(big)
    assert any("tiles" in event.text for event in studio.told(Noted))
    assert np.abs(pixels(whole)[0].astype(int) - pixels(tiled)[0]).mean() < 8

    def never(self: object, model: object, x: torch.Tensor, tiling: bool) -> torch.Tensor:
        raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr(family, "decode", never)
    with pytest.raises(OutOfMemory, match="decoding"):
        studio.make(big)
    monkeypatch.undo()
    assert studio.make(big).images[0].data == whole.images[0].data
