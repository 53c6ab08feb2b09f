"""The extension Detail that comes with the program."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from modules.domain.request import Generation, SamplingSpec, SeedSpec, Size
from modules.extending.discover import discover
from modules.extending.loader import NativeLoader, load_all
from modules.extending.scripts import Scripts
from modules.hooks.dispatch import Hooks
from modules.hooks.points import BeforeSampling, WrapDenoise
from tests.pipeline.workshop import Studio, open_studio

BUILTIN = Path(__file__).parents[2] / "extensions-builtin"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    loaded = load_all(discover(BUILTIN, tmp_path_factory.mktemp("none")), [NativeLoader()])
    assert loaded.faults == {}
    return Scripts(loaded.scripts, loaded.selectable)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    found = open_studio(tmp_path_factory.mktemp("data"))
    yield found
    found.shop.output.close()


def request(scripts: Scripts, **values: Any) -> Generation:
    return Generation(
        prompt="a red circle", size=Size(width=64, height=64), sampling=SamplingSpec(sampler="Euler", steps=6),
        seed=SeedSpec(seed=5), scripts=scripts.chosen("txt2img", {"detail": values} if values else {}),
    )  # fmt: skip


def told(scripts: Scripts, sigmas: torch.Tensor, **values: Any) -> Callable[[float], float]:
    """Return what noise level the network is told for one of the schedule."""
    hooks = Hooks(scripts.handlers(request(scripts, enabled=True, **values)))
    nothing: Any = None
    wrapped = hooks.run(WrapDenoise(plan=nothing, batch=nothing, denoise=lambda x, sigma: sigma))
    hooks.run(BeforeSampling(plan=nothing, batch=nothing, x=torch.zeros(1), sigmas=sigmas))
    return lambda level: float(wrapped.denoise(torch.zeros(1), torch.tensor([level])))


def test_the_network_is_told_of_less_noise_between_start_and_end(scripts: Scripts) -> None:
    sigmas = torch.tensor([10.0, 8, 6, 4, 2, 0])
    ask = told(scripts, sigmas, amount=0.5, start=0.2, end=0.8)
    shares = {10: 0, 8: 0, 6: 2 / 3, 4: 2 / 3, 2: 0}
    for level, share in shares.items():
        assert ask(level) == pytest.approx(level * (1 - 0.5 * share))
    assert told(scripts, sigmas, amount=0.5, start=0.8, end=0.2)(6) == 6


def test_it_changes_pictures_only_while_switched_on(scripts: Scripts, studio: Studio) -> None:
    def made(**values: Any) -> tuple[bytes, str]:
        wanted = request(scripts, **values)
        (one,) = studio.make(wanted, hooks=Hooks(scripts.handlers(wanted))).images
        return Image.open(io.BytesIO(one.data)).tobytes(), one.infotext

    plain, text = made()
    assert "Detail" not in text
    assert made(enabled=False, amount=0.5)[0] == plain
    assert made(enabled=True, amount=0.0)[0] == plain
    more, text = made(enabled=True, amount=0.5)
    assert more != plain
    assert "Detail amount: 0.5, Detail from: 0.2, Detail until: 0.8" in text
