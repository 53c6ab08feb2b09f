"""`config.json`: layers, saving, broken files and who may change what."""

import json
from pathlib import Path

import pytest

from modules.domain.errors import ForbiddenSetting, InvalidRequest, StorageFault, UnknownName
from modules.files import atomic
from modules.settings.snapshot import Snapshot
from modules.settings.store import Freeze, SettingsStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_layers_defaults_then_file_then_flags(path):
    path.write_text(json.dumps({"jpeg_quality": 70, "n_rows": 2}))
    settings = SettingsStore(path, {"n_rows": 3}).snapshot()
    assert (settings.saving.jpeg_quality, settings.saving.n_rows, settings.saving.webp_lossless) == (70, 3, False)


def test_set_saves_and_tells(path):
    store, told = SettingsStore(path), []
    store.on_change(told.append)
    before = store.snapshot()
    assert store.set({"jpeg_quality": 90.0, "tiling": False}) == {"jpeg_quality"}
    assert told == [{"jpeg_quality"}]
    assert (before.saving.jpeg_quality, store.snapshot().saving.jpeg_quality) == (80, 90)
    assert SettingsStore(path).snapshot() == store.snapshot()


def test_setting_the_same_value_again_tells_nobody(path):
    store, told = SettingsStore(path), []
    store.on_change(told.append)
    store.set({"jpeg_quality": 80})
    assert told == []


def test_unknown_and_unsupported_keys_survive_a_save(path):
    theirs = {"ldsr_steps": 55, "my_extension_option": {"deep": [1, None]}, "samples_format": "webp"}
    path.write_text(json.dumps(theirs))
    SettingsStore(path).set({"jpeg_quality": 90})
    assert json.loads(path.read_text()) == {**theirs, "jpeg_quality": 90}


def test_one_bad_key_applies_nothing(path):
    store = SettingsStore(path)
    with pytest.raises(UnknownName):
        store.set({"tiling": True, "no_such": 1})
    assert store.snapshot() == Snapshot()
    assert not path.exists()


def test_clients_leave_restricted_settings_unchanged(path):
    store = SettingsStore(path)
    store.set({"outdir_samples": "/etc", "api_max_body_mb": 10_000, "jpeg_quality": 90}, by="api")
    assert store.snapshot() == Snapshot().with_overrides({"jpeg_quality": 90})
    assert json.loads(path.read_text()) == {"jpeg_quality": 90}


@pytest.mark.parametrize(
    "freeze", [Freeze(everything=True), Freeze(sections=frozenset({"sd"})), Freeze(keys=frozenset({"tiling"}))]
)
def test_frozen_settings_do_not_change(path, freeze):
    store = SettingsStore(path, freeze=freeze)
    store.set({"tiling": False})
    with pytest.raises(ForbiddenSetting, match="tiling"):
        store.set({"tiling": True})
    assert store.snapshot().sd.tiling is False


def test_a_setting_of_the_command_line_cannot_be_changed(path):
    store = SettingsStore(path, {"tiling": True})
    store.set({"tiling": True})
    with pytest.raises(ForbiddenSetting, match="command line"):
        store.set({"tiling": False})


def test_a_flag_with_a_bad_value_is_an_error(path):
    with pytest.raises(InvalidRequest, match="jpeg_quality"):
        SettingsStore(path, {"jpeg_quality": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{",
        '{"a": 1',
        "\x00\x01",
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"n_rows": 1' + "0" * 5000 + "}",
    ],
)
def test_a_broken_file_gives_defaults_and_is_kept(path, text):
    path.write_text(text)
    store = SettingsStore(path)
    assert store.snapshot() == Snapshot()
    assert store.notes
    store.set({"n_rows": 2})
    kept = list(path.parent.glob("config.json.bad-*"))
    assert [item.read_text() for item in kept] == [text]
    assert json.loads(path.read_text()) == {"n_rows": 2}


def test_undecodable_bytes_are_a_broken_file(path):
    path.write_bytes(b'{"n_rows": \xff\xfe}')
    assert SettingsStore(path).snapshot() == Snapshot()


@pytest.mark.parametrize(
    "bad", [{"n_rows": "x"}, {"n_rows": 10**9}, {"tiling": []}, {"samples_format": "py"}, {"quicksettings_list": "a"}]
)
def test_a_bad_value_costs_only_its_own_setting(path, bad):
    path.write_text(json.dumps({**bad, "jpeg_quality": 70, "other": 1}))
    store = SettingsStore(path)
    assert store.snapshot() == Snapshot().with_overrides({"jpeg_quality": 70})
    assert next(iter(bad)) in store.notes[0]
    SettingsStore(path)
    assert len(list(path.parent.glob("config.json.bad-*"))) == 1
    store.set({"jpeg_quality": 60})
    assert json.loads(path.read_text()) == {"jpeg_quality": 60, "other": 1}


def test_nan_in_the_file_costs_only_its_own_setting(path):
    path.write_text('{"s_noise": NaN, "other": Infinity, "jpeg_quality": 70}')
    assert SettingsStore(path).snapshot().saving.jpeg_quality == 70


def test_values_of_a1111_that_are_missing_here_are_no_fault(path):
    path.write_text(json.dumps({"show_progress_type": "Approx NN", "fp8_storage": "Enable", "sd_checkpoint_hash": "a"}))
    assert SettingsStore(path).notes == ()


def test_half_a_surrogate_pair_does_not_block_saving(path):
    path.write_text('{"other": "\\ud800", "\\udfff": 1}')
    SettingsStore(path).set({"n_rows": 2})
    assert json.loads(path.read_text()) == {"other": "?", "?": 1, "n_rows": 2}


def test_old_names_are_carried_over(path):
    path.write_text(json.dumps({"quicksettings": "sd_vae, tiling", "sd_vae_as_default": True}))
    settings = SettingsStore(path).snapshot()
    assert settings.ui.quicksettings_list == ("sd_vae", "tiling")
    assert settings.vae.sd_vae_overrides_per_model_preferences is False


def test_a_full_disk_leaves_the_old_settings(path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise StorageFault("no space left")

    store = SettingsStore(path)
    monkeypatch.setattr(atomic, "write_json", refuse)
    with pytest.raises(StorageFault):
        store.set({"tiling": True})
    assert store.snapshot() == Snapshot()
