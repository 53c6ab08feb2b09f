"""Merging checkpoints over the API: a real merge behind the real desk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modules.domain.events import Event, Progressed
from modules.domain.merge import Merged, MergeRequest
from modules.engine.desk import Desk
from modules.engine.job import Payload
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.training.merge.merger import Pantry, merge
from modules.web.adapters import checkpoint_infos
from modules.web.server import attach_services
from tests.web.rest_house import RestHouse, rest_house

WEIGHT = "model.diffusion_model.out.weight"


@dataclass
class Mill:
    """A server that merges."""

    house: RestHouse
    folder: Path
    events: list[Event]
    interrupt: bool = False

    def post(self, **body: Any) -> Any:
        return self.house.client.post("/v1/merge-checkpoints", json=body)


@pytest.fixture
def mill(tmp_path: Path) -> Iterator[Mill]:
    folder = tmp_path / "models"
    folder.mkdir()
    for number, name in enumerate("abc"):
        save_file({WEIGHT: torch.full((4, 4), float(number))}, folder / f"{name}.safetensors")
    with rest_house(tmp_path) as house, HashCache(tmp_path / "hashes") as hashes:
        catalog: Catalog[Any] = Catalog(Sources(folders=[folder]), hashes, lambda header: None)
        catalog.refresh()
        made = Mill(house=house, folder=folder, events=[])

        def run(request: Payload, ctx: JobContext) -> Merged:
            assert isinstance(request, MergeRequest)

            def emit(event: Event) -> None:
                made.events.append(event)
                ctx.emit(event)
                if made.interrupt:
                    ctx.cancel.set(CancelReason.INTERRUPT)

            return merge(
                Pantry(catalog=catalog, hashes=hashes, vaes={}, folder=folder), request, replace(ctx, emit=emit)
            )

        store, ledger = house.services.settings, Ledger(tmp_path / "merges.sqlite")
        engine = LocalEngine(run, snapshot=lambda values: store.snapshot().with_overrides(values), ledger=ledger)
        engine.start()
        services = replace(
            house.services, engine=engine, ledger=ledger, desk=Desk(engine, store.snapshot),
            checkpoints=lambda: checkpoint_infos(catalog.entries),
            knows_checkpoint=lambda name: catalog.find(name) is not None,
        )  # fmt: skip
        attach_services(house.app, services)
        yield made
        assert engine.shutdown(5)
        ledger.close()


def test_a_merge_is_answered_when_its_file_is_there(mill: Mill) -> None:
    answer = mill.post(primary_model_name="a", secondary_model_name="b", multiplier=0.25, save_as_half=True)
    assert answer.status_code == 200, answer.text
    name = "0.75(a) + 0.25(b)"
    assert answer.json() == {
        "interrupted": False, "checkpoint": f"{name}.safetensors", "title": f"{name}.safetensors",
        "model_name": name, "notes": [],
    }  # fmt: skip
    made = load_file(mill.folder / f"{name}.safetensors")[WEIGHT]
    assert torch.equal(made, torch.full((4, 4), 0.25, dtype=torch.float16))
    listed = mill.house.get("/sd-models").json()
    assert name in [line["model_name"] for line in listed]
    with safe_open(mill.folder / f"{name}.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["sd_merge_recipe"])["save_as_half"] is True


def test_an_interrupted_merge_leaves_no_file(mill: Mill) -> None:
    mill.interrupt = True
    answer = mill.post(primary_model_name="a", secondary_model_name="b", custom_name="half")
    assert answer.json()["interrupted"] is True
    assert answer.json()["checkpoint"] is None
    assert sorted(path.name for path in mill.folder.iterdir()) == ["a.safetensors", "b.safetensors", "c.safetensors"]


def test_a_merge_is_a_job_like_others(mill: Mill) -> None:
    mill.post(primary_model_name="a", secondary_model_name="b", force_task_id="mine")
    assert any(isinstance(event, Progressed) for event in mill.events)
    line = mill.house.client.get("/internal/jobs").json()["jobs"][-1]
    assert (line["kind"], line["task_id"], line["state"], line["fraction"]) == ("modelmerger", "mine", "finished", 1.0)
    entry = mill.house.client.get("/internal/jobs/history").json()["jobs"][0]
    assert entry["files"] == ["0.7(a) + 0.3(b).safetensors"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "needs a model A"),
        ({"primary_model_name": "a", "secondary_model_name": "x"}, 422, "Checkpoint 'x' not found; known: a.safeten"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "bake_in_vae": "x"}, 422, "VAE 'x' not found"),
        ({"multiplier": 11}, 422, "less than or equal to 10"),
        ({"interp_method": "Sigmoid"}, 422, "'Sigmoid' is none of"),
        ({"save_as_half": True, "precision": "bfloat16"}, 422, "choose one of both"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "discard_weights": "("}, 422, "not a regular expres"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "custom_name": "../x"}, 403, "path separator"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "custom_name": "c"}, 422, "exists already"),
        ({"checkpoint_format": "ckpt"}, 422, "choose safetensors"),
    ],
)
def test_bad_requests_are_refused(mill: Mill, body: dict[str, Any], status: int, message: str) -> None:
    answer = mill.post(**body)
    assert answer.status_code == status, answer.text
    assert message in answer.text


def test_the_body_is_described(mill: Mill) -> None:
    schema = mill.house.client.get("/openapi.json").json()
    assert "/v1/merge-checkpoints" in schema["paths"]
    fields = schema["components"]["schemas"]["MergeCheckpointsRequest"]["properties"]
    assert fields["interp_method"]["enum"] == ["No interpolation", "Weighted sum", "Add difference"]
    assert fields["multiplier"]["maximum"] == 10
