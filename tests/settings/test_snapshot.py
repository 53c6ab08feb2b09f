"""Settings as values: declarations, overrides and their checks."""

from dataclasses import FrozenInstanceError, fields

import pytest

from modules.domain.errors import ForbiddenSetting, InvalidRequest, LimitExceeded, UnknownName, UnsupportedFeature
from modules.settings.infotext_keys import setting_of_infotext_key, settings_in_infotext
from modules.settings.known import UNSUPPORTED
from modules.settings.sections import SECTIONS
from modules.settings.snapshot import RESTRICTED, Snapshot, declarations


def test_sections_and_snapshot_agree():
    assert {part.name: part.cls for part in SECTIONS} == {
        item.name: type(getattr(Snapshot(), item.name)) for item in fields(Snapshot) if item.name != "added"
    }


OF_OUR_OWN = {
    "model_defaults", "model_presets", "cfg_rescale", "sd_prediction_type", "forge_additional_modules",
    "sd_checkpoints_automatic", "prioritized_handlers",
}  # fmt: skip


def test_keys_are_unique_and_explained():
    keys = [item.name for part in SECTIONS for item in fields(part.cls)]
    assert len(keys) == len(set(keys)) == len(declarations())
    assert not set(keys) & set(UNSUPPORTED)
    assert all(item.param.help.endswith(".") and item.param.label for item in declarations().values())


def test_defaults_satisfy_their_own_declarations():
    assert Snapshot().with_overrides(Snapshot().flat()) == Snapshot()


def test_keys_and_defaults_are_those_of_a1111(shared_dir):
    rows = [line.split(" | ") for line in (shared_dir / "spec/ui.md").read_text().splitlines() if line.startswith("| ")]
    known = {row[0].strip("| ") for row in rows}
    ours = {key for key in declarations() if not key.startswith(("api_", "queue_"))}
    assert ours - OF_OUR_OWN <= known


def test_value_by_flat_key_is_the_attribute():
    settings = Snapshot().with_overrides({"eta_ddim": 0.5})
    assert settings.value("eta_ddim") == settings.sampler.eta_ddim == settings.flat()["eta_ddim"] == 0.5


def test_an_override_leaves_the_original_alone():
    before = Snapshot()
    after = before.with_overrides({"tiling": True, "CLIP_stop_at_last_layers": 2})
    assert (before.sd.tiling, after.sd.tiling, after.sd.CLIP_stop_at_last_layers) == (False, True, 2)
    with pytest.raises(FrozenInstanceError):
        before.sd.tiling = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "stored"),
    [
        ("jpeg_quality", 80.0, 80),
        ("CLIP_stop_at_last_layers", "2", 2),
        ("eta_noise_seed_delta", "31337", 31337),
        ("s_noise", 1, 1.0),
        ("tiling", "True", True),
        ("tiling", 0, False),
        ("hide_samplers", ["LMS"], ("LMS",)),
        ("sd_model_checkpoint", None, None),
    ],
)
def test_values_take_the_declared_type(key, value, stored):
    found = Snapshot().with_overrides({key: value}).value(key)
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("tiling", "perhaps", InvalidRequest),
        ("tiling", 2, InvalidRequest),
        ("jpeg_quality", 80.5, InvalidRequest),
        ("jpeg_quality", True, InvalidRequest),
        ("jpeg_quality", 0, InvalidRequest),
        ("jpeg_quality", 10**30, LimitExceeded),
        ("CLIP_stop_at_last_layers", 10**9, LimitExceeded),
        ("s_noise", float("nan"), InvalidRequest),
        ("s_noise", "1e999", InvalidRequest),
        ("s_noise", 10**400, InvalidRequest),
        ("s_noise", "9" * 5000, InvalidRequest),
        ("quicksettings_list", 5, InvalidRequest),
        ("quicksettings_list", "sd_vae", InvalidRequest),
        ("quicksettings_list", [5], InvalidRequest),
        ("quicksettings_list", ["a"] * 2000, LimitExceeded),
        ("samples_format", "py", InvalidRequest),
        ("samples_filename_pattern", 5, InvalidRequest),
        ("samples_filename_pattern", "x" * 20_000, LimitExceeded),
        ("samples_filename_pattern", "\ud800", InvalidRequest),
        ("sd_vae", None, InvalidRequest),
        ("no_such_setting", 1, UnknownName),
        ("__class__", 1, UnknownName),
        ("interrogate_clip_num_beams", 3, UnsupportedFeature),
        ("lora_functional", "some", InvalidRequest),
        ("disable_all_extensions", "some", InvalidRequest),
    ],
)
def test_bad_values_are_refused_by_name(key, value, error):
    with pytest.raises(error) as caught:
        Snapshot().with_overrides({"tiling": True, key: value})
    assert caught.value.field == key
    assert key in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_misspelled_key_gets_a_suggestion():
    with pytest.raises(UnknownName, match="sd_model_checkpoint"):
        Snapshot().with_overrides({"sd_model_chekpoint": "x"})


def test_whole_dictionaries_of_a1111_are_accepted():
    theirs = {**UNSUPPORTED, "lora_functional": True, "sd_checkpoint_hash": "abc"}
    assert Snapshot().with_overrides(theirs, by="local") == Snapshot()


@pytest.mark.parametrize("key", ["outdir_samples", "api_max_body_mb", "queue_max_jobs", "outdir_save", "api_useragent"])
def test_clients_may_not_move_folders_or_limits(key):
    assert key in RESTRICTED
    with pytest.raises(ForbiddenSetting):
        Snapshot().with_overrides({key: "x"}, by="api")


def test_clients_may_send_the_current_value_of_a_restricted_setting():
    assert Snapshot().with_overrides(Snapshot().flat(), by="api") == Snapshot()


def test_infotext_keys_lead_to_settings():
    assert setting_of_infotext_key("Clip skip") == "CLIP_stop_at_last_layers"
    assert setting_of_infotext_key("Beta schedule alpha") == setting_of_infotext_key("Beta scheduler alpha")
    assert setting_of_infotext_key("Steps") is None


def test_pasted_settings_that_differ_become_overrides():
    parsed = {"Clip skip": "2", "ENSD": "31337", "RNG": "GPU", "Eta": "0.0", "Steps": "20", "Emphasis": "nonsense"}
    found = settings_in_infotext(parsed, Snapshot())
    assert found == {"CLIP_stop_at_last_layers": 2, "eta_noise_seed_delta": 31337, "eta_ancestral": 0.0}


def test_the_model_of_a_pasted_text_counts_only_when_asked_for():
    parsed = {"Model hash": "0123456789", "Model": "m", "Eta": "1.0"}
    allowed = Snapshot().with_overrides({"disable_weights_auto_swap": False})
    assert settings_in_infotext(parsed, Snapshot()) == {}
    assert settings_in_infotext(parsed, allowed) == {"sd_model_checkpoint": "0123456789"}
