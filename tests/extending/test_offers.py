"""Samplers, schedules, upscalers, networks and cards that native extensions add."""

import importlib.util
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.domain.cards import CardEntry
from modules.domain.request import Generation, HiresSpec, SamplingSpec, SeedSpec, Size
from modules.domain.result import Outcome
from modules.extending.discover import Extension
from modules.extending.metadata import Metadata
from modules.extending.offers import Offers
from modules.extending.registry import Loaded, Registry
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterStep
from modules.web.cards.kinds import card_pages
from tests.pipeline.workshop import Studio, open_studio

MANUAL = Path(__file__).parents[2] / "docs" / "extensions.md"
REQUEST = Generation(
    prompt="a red circle",
    size=Size(width=64, height=64),
    sampling=SamplingSpec(sampler="Halving", steps=3),
    seed=SeedSpec(seed=5),
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return open_studio(tmp_path_factory.mktemp("offers"))


def registry_of(register: Callable[[Registry], None], name: str = "more") -> Registry:
    found = Registry(Extension(name=name, folder=Path(name), is_builtin=False, metadata=Metadata(name=name)))
    register(found)
    return found


def with_offers(studio: Studio, *registries: Registry) -> Studio:
    offers, shelf = Offers(Loaded(registries=registries)), studio.shop.shelf
    shop = replace(
        studio.shop,
        shelf=lambda: replace(shelf(), book=offers.book(), upscalers=offers.upscalers(), unets=offers.unets()),
    )
    return Studio(shop=shop, models=studio.models)


@pytest.fixture(scope="module")
def register_halving(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Registry], None]:
    """Return what the example in the manual registers with."""
    (code,) = re.findall(r"```python\n# extensions/halving/webui_extension.py\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("manual") / "halving_of_manual.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.register


def pixels(outcome: Outcome) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(outcome.images[0].data)).convert("RGB")).astype(int)


def test_the_example_of_the_manual(studio: Studio, register_halving: Callable[[Registry], None]):
    more = registry_of(register_halving)
    made = with_offers(studio, more).make(REQUEST)
    assert "Sampler: Halving, Schedule type: Automatic" in made.images[0].infotext
    # It is Euler's step written in another way.
    euler = studio.make(replace(REQUEST, sampling=SamplingSpec(sampler="Euler", steps=3)))
    assert np.abs(pixels(made) - pixels(euler)).max() <= 1
    hires = replace(REQUEST, hires=HiresSpec(upscaler="Nearest x3", scale=3, denoising_strength=0.5))
    assert "Hires upscaler: Nearest x3" in with_offers(studio, more).make(hires).images[0].infotext
    assert more.faults == []


def test_without_the_extension_another_sampler_stands_in_and_says_so(studio: Studio):
    made = studio.make(REQUEST)
    assert "Sampler: DPM++ 2M" in made.images[0].infotext
    assert any("'Halving' not found" in note.text for note in made.notes)


def test_it_ends_early_like_every_other(studio: Studio, register_halving: Callable[[Registry], None]):
    cancel, steps = CancelToken(), list[int]()

    def stop(payload: AfterStep) -> None:
        steps.append(payload.step.index)
        cancel.set(CancelReason.INTERRUPT)

    hooks = Hooks([Handler(name="stop", hook=AfterStep, call=stop)])
    made = with_offers(studio, registry_of(register_halving)).make(REQUEST, cancel=cancel, hooks=hooks)
    assert steps == [0]
    assert made.interrupted


def test_a_schedule(studio: Studio):
    def register(registry: Registry) -> None:
        def make():
            import torch

            from modules.sampling.schedules import Schedule

            def build(span):
                return torch.cat([torch.linspace(span.high, span.low, span.steps), torch.zeros(1)])

            return Schedule(name="straight", label="Straight", build=build, aliases=("st",))

        registry.schedule(make)

    asked = replace(REQUEST, sampling=SamplingSpec(sampler="Euler", scheduler="st", steps=3))
    made = with_offers(studio, registry_of(register)).make(asked)
    assert "Schedule type: Straight" in made.images[0].infotext


def test_a_network_in_the_place_of_the_checkpoints_own(studio: Studio):
    def register(registry: Registry) -> None:
        def make():
            from contextlib import contextmanager

            from modules.pipeline.unets import OfferedUnet

            @contextmanager
            def opened():
                yield lambda x, t, told: x * 0

            return OfferedUnet(label="Silent", open=opened, checkpoint="zebra")

        registry.unet(make)

    other, asked = (
        with_offers(studio, registry_of(register)),
        replace(REQUEST, sampling=SamplingSpec(sampler="Euler", steps=2)),
    )
    own = other.make(asked)
    assert (pixels(own) == pixels(studio.make(asked))).all()
    silent = other.make(asked, sd_unet="Silent")
    assert (pixels(silent) == pixels(other.make(replace(asked, prompt="blue"), sd_unet="Silent"))).all()
    assert (pixels(silent) != pixels(own)).any()
    assert (
        pixels(other.make(asked, sd_model_checkpoint="zebra"))
        != pixels(studio.make(asked, sd_model_checkpoint="zebra"))
    ).any()
    assert any("SD Unet 'Gone'" in note.text for note in other.make(asked, sd_unet="Gone").notes)


def test_names_that_are_taken_and_things_that_fail_are_faults(register_halving: Callable[[Registry], None]):
    def first(registry: Registry) -> None:
        register_halving(registry)
        registry.sampler(lambda: 1 / 0)  # pyright: ignore[reportArgumentType]

    one, two = registry_of(first), registry_of(register_halving, "other")
    offers = Offers(Loaded(registries=(one, two)))
    assert [sampler.label for sampler in offers.book().samplers].count("Halving") == 1
    assert list(offers.upscalers()).count("Nearest x3") == 1
    assert ["ZeroDivisionError" in text for text in one.faults] == [True]
    assert any("Halving is left out" in text for text in two.faults)
    assert any("Nearest x3 is left out" in text for text in two.faults)
    with pytest.raises(ValueError, match="no name"):
        one.upscaler("None", lambda image, factor: image)


def test_cards(tmp_path: Path):
    picture = tmp_path / "sage.png"
    Image.new("RGB", (4, 4)).save(picture)

    def register(registry: Registry) -> None:
        registry.cards(
            "herbs",
            "Herbs",
            lambda: [CardEntry(name="green/sage", preview=picture), CardEntry(name="mint", prompt="<m>")],
        )
        with pytest.raises(ValueError, match="no id"):
            registry.cards("Her bs", "Herbs", tuple)

    offers = Offers(Loaded(registries=(registry_of(register),)))
    pages = card_pages(tmp_path / "memory", added=offers.cards)
    page = pages.get("herbs")
    assert pages.get("herbs") is page
    assert [(card.name, card.insert, card.file.folder) for card in page.listed.cards.values()] == [
        ("sage", "sage", "green"), ("mint", "<m>", ""),
    ]  # fmt: skip
    assert page.get("green/sage").preview == picture
