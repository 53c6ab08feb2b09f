"""The tab Checkpoint Merger: A1111's element ids, what it sends, and what it says at the end."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.merge import ADD_DIFFERENCE, Merged, MergeRequest
from modules.engine.desk import Desk
from modules.engine.job import JobHandle, Owner, Payload
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.hooks.context import JobContext
from modules.web.rest.merge import request_of
from modules.web.services import CheckpointInfo, Services
from modules.web.ui.tabs.modelmerger import checked, describe, metadata_of, offered, told
from tests.web.rest_house import RestHouse, rest_house
from tests.web.ui_house import ui_context

ELEMENT_IDS = (
    "tab_modelmerger", "modelmerger_interp_description", "modelmerger_models", "modelmerger_primary_model_name",
    "refresh_checkpoint_A", "modelmerger_secondary_model_name", "refresh_checkpoint_B",
    "modelmerger_tertiary_model_name", "refresh_checkpoint_C", "modelmerger_custom_name", "modelmerger_interp_amount",
    "modelmerger_interp_method", "modelmerger_checkpoint_format", "modelmerger_save_as_half",
    "modelmerger_config_method", "modelmerger_bake_in_vae", "modelmerger_refresh_bake_in_vae",
    "modelmerger_discard_weights", "modelmerger_save_metadata", "modelmerger_add_merge_recipe",
    "modelmerger_copy_metadata_fields", "modelmerger_metadata_json", "modelmerger_read_metadata", "modelmerger_merge",
    "modelmerger_results_container", "modelmerger_results_panel", "modelmerger_result",
)  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as made:
        yield made


def with_checkpoints(services: Services, folder: Path) -> Services:
    """Offer two checkpoints with metadata, of which one was hashed meanwhile."""
    for name, metadata in (("a", {"x": "1", "format": "pt"}), ("b", {"x": "2", "y": '{"z": 3}'})):
        save_file({"w": torch.zeros(1)}, folder / f"{name}.safetensors", metadata=metadata)
    infos = [
        CheckpointInfo(
            title=title, model_name=name, hash=None, sha256=None, filename=str(folder / f"{name}.safetensors")
        )
        for name, title in (("a", "a.safetensors [0123456789]"), ("b", "b.safetensors"))
    ]
    return replace(services, checkpoints=lambda: infos, knows_checkpoint=lambda name: name in ("a", "b"))


def test_element_ids_are_those_of_a1111(house: RestHouse, tmp_path: Path):
    from modules.web.ui.build import build

    components = build(ui_context(house, tmp_path)).get_config_file()["components"]
    found = {one["props"].get("elem_id"): one["props"] for one in components}
    assert not set(ELEMENT_IDS) - found.keys()
    assert found["modelmerger_interp_amount"]["label"] == "Multiplier (M) - set to 0 to get model A"
    assert (found["modelmerger_interp_amount"]["value"], found["modelmerger_interp_amount"]["step"]) == (0.3, 0.05)


def test_what_the_page_sends_becomes_a_request(house: RestHouse, tmp_path: Path):
    services = with_checkpoints(house.services, tmp_path)
    sent = {
        "primary_model_name": "a", "secondary_model_name": "b", "tertiary_model_name": None, "multiplier": 0.5,
        "save_as_half": True, "config_source": 2, "bake_in_vae": "v.pt",
    }  # fmt: skip
    assert request_of(checked(sent), services) == MergeRequest(
        primary_model_name="a", secondary_model_name="b", multiplier=0.5, precision="float16", config_source=2,
        bake_in_vae="v.pt",
    )  # fmt: skip
    with pytest.raises(UnknownName, match="secondary_model_name"):
        request_of(checked({**sent, "secondary_model_name": "c"}), services)


@pytest.mark.parametrize(
    "sent", [{"multiplier": "much"}, {"multiplier": 11}, {"save_as_half": [1]}, {"custom_name": {}}]
)
def test_values_of_wrong_types_are_named(sent: dict[str, Any]):
    with pytest.raises(InvalidRequest, match=next(iter(sent))):
        checked(sent)


def test_choices_stay_under_new_titles(house: RestHouse, tmp_path: Path):
    services = with_checkpoints(house.services, tmp_path)
    updates = offered(["a.safetensors", "gone.safetensors", None], services)
    assert [update["value"] for update in updates] == ["a.safetensors [0123456789]", None, None]
    assert updates[0]["choices"] == ["None", "a.safetensors [0123456789]", "b.safetensors"]


def test_metadata_of_the_first_model_count(house: RestHouse, tmp_path: Path):
    services = with_checkpoints(house.services, tmp_path)
    assert metadata_of(["a.safetensors", "b.safetensors", None], services) == {"x": "1", "y": {"z": 3}}
    assert metadata_of([None, None, None], services) == {}


def test_methods_are_described():
    assert "A + (B - C) * M" in describe(ADD_DIFFERENCE)
    assert describe("<b>") == '<p class="note"></p>'


@pytest.mark.parametrize(
    ("outcome", "result", "log"),
    [
        (Merged(path=Path("x/a <b>.safetensors"), notes=("no <i>",)), "saved as a &lt;b&gt;.safet", "no &lt;i&gt;"),
        (Merged(path=None), "", "nothing was written"),
        (InvalidRequest("models <b>", field="f"), "", "models &lt;b&gt;"),
    ],
)
def test_the_end_is_told(tmp_path: Path, outcome: Merged | Exception, result: str, log: str):
    handle = ended(tmp_path, outcome)
    shown = told(handle)
    assert result in shown[0]
    assert log in shown[1]
    assert bool(shown[0]) == bool(result)


def ended(folder: Path, outcome: Merged | Exception) -> JobHandle:
    """Run a merge that ends in this way."""
    from modules.settings.store import SettingsStore

    def run(_request: Payload, _ctx: JobContext) -> Merged:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    store, ledger = SettingsStore(folder / "config.json"), Ledger(folder / "jobs")
    engine = LocalEngine(run, snapshot=lambda values: store.snapshot().with_overrides(values), ledger=ledger)
    engine.start()
    wanted = MergeRequest(primary_model_name="a", secondary_model_name="b")
    handle = Desk(engine, store.snapshot).accept(wanted, Owner(source="ui"), kind="modelmerger")
    list(handle.events())
    assert engine.shutdown(5)
    ledger.close()
    return handle
