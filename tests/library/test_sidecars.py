"""Files beside a model, and the choice of a VAE."""

import json
from pathlib import Path

import pytest

from modules.library import sidecars
from modules.library.vaes import VaeChoice, list_vaes, vae_for


@pytest.fixture
def vaes(tmp_path: Path) -> dict[str, Path]:
    models, folder = tmp_path / "models", tmp_path / "vae"
    for path in (models / "sub" / "anime.vae.pt", models / "x.vae.txt", models / "anime.ckpt", folder / "kl.ckpt",
                 folder / "anime2.safetensors", folder / "sub" / "mse.pt", folder / "anime.vae.pt"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return list_vaes([models], [folder])


def test_vaes_are_listed_by_file_name_and_the_last_counts(tmp_path: Path, vaes: dict[str, Path]) -> None:
    assert vaes == {
        "anime.vae.pt": tmp_path / "vae" / "anime.vae.pt",
        "anime2.safetensors": tmp_path / "vae" / "anime2.safetensors",
        "kl.ckpt": tmp_path / "vae" / "kl.ckpt",
        "mse.pt": tmp_path / "vae" / "sub" / "mse.pt",
    }


@pytest.mark.parametrize(
    ("base", "setting", "overrides", "by_name", "noted", "expected"),
    [
        ("anime", "Automatic", True, True, None, ("anime.vae.pt", "name beside the checkpoint", "")),
        ("anime", "Automatic", True, False, None, ("", "", "")),
        ("ani", "Automatic", True, True, None, ("anime.vae.pt", "name beside the checkpoint", "")),
        ("other", "Automatic", True, True, None, ("", "", "")),
        ("anime", "kl.ckpt", True, True, "mse.pt", ("kl.ckpt", "setting", "")),
        ("anime", "None", True, True, "mse.pt", ("", "setting", "")),
        ("anime", "kl.ckpt", False, True, "mse.pt", ("mse.pt", "metadata", "")),
        ("anime", "kl.ckpt", False, True, "None", ("", "metadata", "")),
        ("anime", "kl.ckpt", False, True, "Automatic", ("anime.vae.pt", "name beside the checkpoint", "")),
        ("anime", "kl.ckpt", False, False, None, ("kl.ckpt", "setting", "")),
        ("other", "kl.ckpt", False, True, None, ("kl.ckpt", "setting", "")),
        ("other", "gone.pt", True, True, None, ("", "", "gone.pt")),
        ("other", "../../x", True, True, None, ("", "", "../../x")),
        ("other", "Automatic", True, True, "gone.pt", ("", "", "gone.pt")),
        ("anime", "Automatic", True, True, "gone.pt", ("anime.vae.pt", "name beside the checkpoint", "gone.pt")),
        ("anime", "Automatic", True, True, 5, ("anime.vae.pt", "name beside the checkpoint", "")),
    ],
)
def test_the_order_of_preference(
    tmp_path: Path, vaes: dict[str, Path], base: str, setting: str, overrides: bool, by_name: bool, noted: object,
    expected: tuple[str, str, str],
) -> None:  # fmt: skip
    checkpoint = tmp_path / "models" / f"{base}.ckpt"
    if noted is not None:
        checkpoint.with_suffix(".json").write_text(json.dumps({"vae": noted}))
    choice = vae_for(checkpoint, vaes, setting=setting, setting_overrides=overrides, by_name=by_name)
    name, source, missing = expected
    assert choice == VaeChoice(path=vaes.get(name), source=source, missing=missing)
    forced = vae_for(checkpoint, vaes, setting=setting, forced=tmp_path / "f.pt")
    assert forced == VaeChoice(path=tmp_path / "f.pt", source="flag")


def test_what_lies_beside_a_model_is_found(tmp_path: Path) -> None:
    model = tmp_path / "dream v1.5.safetensors"
    assert sidecars.preview_path(model) is None
    assert sidecars.config_path(model) is None
    assert sidecars.description(model) == ""
    for name in ("dream v1.5.preview.png", "dream v1.5.jpg", "dream v1.5.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "dream v1.5.description.txt").write_text("\ufeffsoft ünï", encoding="utf-8")
    assert sidecars.preview_path(model) == tmp_path / "dream v1.5.preview.png"
    (tmp_path / "dream v1.5.png").touch()
    assert sidecars.preview_path(model) == tmp_path / "dream v1.5.png"
    assert sidecars.config_path(model) == tmp_path / "dream v1.5.yaml"
    assert sidecars.description(model) == "soft ünï"


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "5", "[" * 100_000])
def test_damaged_user_metadata_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    assert sidecars.user_metadata(tmp_path / "m.ckpt") == {}


def test_metadata_is_shown_parsed_and_without_its_thumbnail() -> None:
    stored = {"ss_tag_frequency": '{"a": {"cat": 3}}', "odd": "{x", "modelspec.thumbnail": "data:...", "n": "5"}
    assert sidecars.shown_metadata(stored) == {"ss_tag_frequency": {"a": {"cat": 3}}, "odd": "{x", "n": "5"}
