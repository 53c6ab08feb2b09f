"""Runs do not change the ones after them: what extensions put back by assignment is the program's own again."""

import base64
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.compat.k_denoisers import level_model
from modules.compat.networks_text import is_changed
from modules.compat.replaced import is_own
from modules.compat.sd_model import SdModel, sd_model_now
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    only = tmp_path_factory.mktemp("only")
    (only / "put-back").symlink_to(ZOO / "put-back")
    with zoo_house(tmp_path_factory.mktemp("zoo"), zoo=only) as found:
        assert not found.loaded.faults
        found.txt2img()
        yield found


def mode(name: str) -> dict[str, Any]:
    return {"negative_prompt": "grey", "alwayson_scripts": {"Put back": {"args": [name]}}}


def pixels(answer: dict[str, Any]) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    return np.asarray(image.convert("RGB")).astype(int)


def asked() -> list[int]:
    return sys.modules["put_back.py"].ASKED


def final(zoo: ZooHouse, monkeypatch: pytest.MonkeyPatch, name: str) -> torch.Tensor:
    """Make a picture; return its latent before it is decoded, where no rounding hides anything."""
    seen: list[torch.Tensor] = []
    with monkeypatch.context() as patch:
        script = zoo.host.scripts.txt2img.script("put back")
        patch.setattr(script, "post_sample", lambda p, ps, *_: seen.append(ps.samples.clone()), raising=False)
        zoo.txt2img(**mode(name))
    return seen[0]


@pytest.mark.parametrize("name", ["model", "half", "data", "at once", "between", "text"])
def test_the_next_run_is_the_one_before(zoo: ZooHouse, monkeypatch: pytest.MonkeyPatch, name: str):
    before = final(zoo, monkeypatch, "")
    among = final(zoo, monkeypatch, name)
    calls = list(asked())
    after = final(zoo, monkeypatch, "")
    assert asked() == []
    assert calls == ([2, 2, 2] if name in ("model", "half", "data", "between") else [])
    assert torch.equal(before, among) == (name in ("at once", "text"))
    assert torch.equal(before, after)


def test_text_encoders_whose_methods_were_put_back_are_asked_as_ever(zoo: ZooHouse, monkeypatch: pytest.MonkeyPatch):
    final(zoo, monkeypatch, "text")
    encoder = sd_model_now().cond_stage_model
    assert "forward" in vars(encoder)
    assert not is_changed(encoder)
    monkeypatch.setattr(encoder, "forward", lambda texts: None)
    assert is_changed(encoder)


def test_a_network_that_is_asked_by_level_has_the_levels_of_its_model(zoo: ZooHouse):
    model = sd_model_now()
    levels = model._model.components.prediction.table.sigmas
    assert torch.equal(level_model(model).sigmas, levels)


def test_a_job_that_dies_takes_with_it_what_it_was_given(zoo: ZooHouse, monkeypatch: pytest.MonkeyPatch):
    before, options = final(zoo, monkeypatch, ""), dict(zoo.host.options.data)
    answer = zoo.client.post("/sdapi/v1/txt2img", json={"steps": 2, "width": 64, "height": 64, **mode("dies")})
    assert answer.status_code == 500
    assert "a layer broke" in answer.text
    assert zoo.host.jobs == []
    assert dict(zoo.host.options.data) == options
    held = sys.modules["put_back.py"].HELD[-1].model_wrap_cfg
    with pytest.raises(RuntimeError, match="while a sampler walks"):
        held.forward(torch.zeros(1, 4, 8, 8), torch.ones(1))
    # The layer and the model are put back by the extension itself, before its next run.
    assert torch.equal(final(zoo, monkeypatch, ""), before)


def test_an_interrupted_job_ends_with_postprocess(zoo: ZooHouse, monkeypatch: pytest.MonkeyPatch):
    before, script = final(zoo, monkeypatch, ""), zoo.host.scripts.txt2img.script("put back")
    with monkeypatch.context() as patch:
        patch.setattr(script, "process_batch", lambda p, *_, **more: zoo.host.jobs[-1].state.interrupt(), raising=False)
        zoo.txt2img(**mode("half"))
    assert not hasattr(sd_model_now(), "apply_model_kept")
    assert torch.equal(final(zoo, monkeypatch, ""), before)


class Thing:
    def work(self) -> int:
        return 1


def test_own_methods_are_told_from_replaced_ones():
    thing, other, own = Thing(), Thing(), Thing.work
    assert is_own(thing, "work", own)
    thing.work = thing.work
    assert is_own(thing, "work", own)
    for value in (other.work, lambda: 1, type("Child", (Thing,), {"work": lambda self: 2})().work):
        thing.work = value
        assert not is_own(thing, "work", own)
    assert not is_own(type("Child", (Thing,), {"work": lambda self: 2})(), "work", own)
    assert not is_own(object(), "work", own)


def test_the_model_of_a_program_without_replacements_is_its_own():
    assert is_own(SdModel(), "apply_model", SdModel.apply_model)
