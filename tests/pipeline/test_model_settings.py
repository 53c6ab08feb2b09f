"""What is put beside a checkpoint and how its weights are read: chosen by settings, told by the infotext."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modules.domain.errors import UnknownName
from modules.domain.request import Generation, ModelChoice, SamplingSpec, SeedSpec, Size
from modules.families import identify
from modules.families.family import Files
from modules.families.folder_config import folder_config
from modules.families.opening import open_checkpoint
from modules.families.sidecar import read_sidecar
from modules.imaging.infotext_parse import parse_infotext
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.library.sidecars import config_path
from modules.pipeline.files import chosen_modules, stated_prediction
from modules.pipeline.plan import Shelf
from modules.settings.infotext_keys import settings_in_infotext
from modules.settings.snapshot import Snapshot
from tests.families.diffusers_folders import save_folder
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.workshop import Studio, open_studio

PLAIN = Generation(
    prompt="a red circle",
    size=Size(width=32, height=32),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler", steps=3),
    model=ModelChoice(checkpoint="narrow"),
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    opened = open_studio(tmp_path_factory.mktemp("data"))
    path = make_narrow_checkpoint(opened.models / "narrow.safetensors")
    tensors = load_file(path)
    text = {
        name.removeprefix("cond_stage_model.transformer."): t for name, t in tensors.items() if "cond_stage" in name
    }
    beside = opened.models.parent / "text_encoder"
    beside.mkdir()
    save_file({name: t + 0.05 for name, t in text.items()}, beside / "other.safetensors")
    save_file({name: t for name, t in tensors.items() if "diffusion_model" in name}, opened.models / "bare.safetensors")
    (opened.models / "bare.yaml").write_text(path.with_suffix(".yaml").read_text())
    vae = {name.removeprefix("first_stage_model."): t for name, t in tensors.items() if "first_stage" in name}
    save_file(vae, beside / "own.safetensors")
    save_file(text, beside / "same.safetensors")
    files = {one.name: one for one in beside.iterdir()}
    shelf = opened.shop.shelf()
    shelf.catalog.refresh()
    opened.shop = replace(opened.shop, shelf=lambda: replace(shelf, modules=files))
    return opened


def run(studio: Studio, checkpoint: str = "narrow", **settings: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the pixels and what the infotext says."""
    made = studio.make(replace(PLAIN, model=ModelChoice(checkpoint=checkpoint)), **settings)
    return Image.open(io.BytesIO(made.images[0].data)).tobytes(), parse_infotext(made.images[0].infotext)


def test_an_encoder_beside_the_checkpoint_makes_another_picture_and_is_told(studio: Studio):
    plain, told = run(studio)
    assert not any(key.startswith("Module") for key in told)
    other, told = run(studio, forge_additional_modules=["other.safetensors"])
    assert (told["Module 1"], other != plain) == ("other", True)
    same, _ = run(studio, forge_additional_modules=["same"])
    assert same == plain
    assert run(studio)[0] == plain


def test_a_unet_alone_is_whole_with_its_parts(studio: Studio):
    plain, _ = run(studio)
    bare, told = run(studio, "bare", forge_additional_modules=["same", "own"])
    assert bare == plain
    assert (told["Module 1"], told["Module 2"]) == ("same", "own")


def test_a_pasted_text_asks_for_its_modules(studio: Studio):
    _, told = run(studio, forge_additional_modules=["other", "own"])
    assert settings_in_infotext(told, Snapshot())["forge_additional_modules"] == ["other", "own"]
    chosen = Snapshot().with_overrides({"forge_additional_modules": ["other.safetensors", "own.safetensors"]})
    assert "forge_additional_modules" not in settings_in_infotext(told, chosen)


def test_a_folder_runs_like_the_file_of_the_same_weights(studio: Studio):
    saved = save_folder(studio.models / "from-the-hub-v1.5", "sd1")
    with open_checkpoint(Files(checkpoint=saved.folder)) as opened:
        save_file({name: opened.get(name).contiguous() for name in opened.names}, studio.models / "single.safetensors")
        config = folder_config(opened.header.metadata)
    (studio.models / "single.yaml").write_text(json.dumps(config))
    studio.shop.shelf().catalog.refresh()
    folder, told = run(studio, "from-the-hub-v1.5")
    assert folder == run(studio, "single")[0]
    assert (told["Model"], len(told["Model hash"])) == ("from-the-hub-v1.5", 10)
    assert studio.shop.shelf().catalog.get("from-the-hub-v1.5").title.endswith(f"[{told['Model hash']}]")


def test_modules_are_found_by_name_and_never_by_path(tmp_path: Path):
    known = {"clip_l.safetensors": tmp_path / "clip_l.safetensors"}
    for name in ("clip_l.safetensors", "clip_l", "/somewhere/else/clip_l.safetensors", "C:\\x\\clip_l.safetensors"):
        assert chosen_modules((name,), known) == (tmp_path / "clip_l.safetensors",)
    with pytest.raises(UnknownName, match="clip_l"):
        chosen_modules((str(tmp_path / "secret.safetensors"),), known)


def test_a_stated_prediction_changes_the_picture_and_is_told(studio: Studio):
    plain, told = run(studio)
    assert "Prediction type" not in told
    results = {}
    for setting in ("eps", "v", "v + zero SNR"):
        results[setting], told = run(studio, sd_prediction_type=setting)
        assert told["Prediction type"] == setting
        assert settings_in_infotext(told, Snapshot())["sd_prediction_type"] == setting
    assert results["eps"] == plain
    assert len(set(results.values())) == 3


def test_the_note_beside_a_checkpoint_says_what_it_predicts(tmp_path: Path):
    checkpoint = tmp_path / "model.safetensors"
    assert stated_prediction(checkpoint, "Automatic") is None
    checkpoint.with_suffix(".json").write_text(json.dumps({"prediction_type": "v", "notes": "mine"}))
    assert stated_prediction(checkpoint, "Automatic") == "v"
    assert stated_prediction(checkpoint, "eps") == "eps"
    checkpoint.with_suffix(".json").write_text(json.dumps({"prediction_type": ["v"]}))
    assert stated_prediction(checkpoint, "Automatic") is None


def test_weights_in_8_bits_change_the_picture_and_are_told(studio: Studio):
    plain, told = run(studio, fp8_storage="Enable for SDXL")
    assert told["FP8 weight"] == "Disable"
    assert "Cache FP16 weight for LoRA" not in told
    small, told = run(studio, fp8_storage="Enable")
    assert small != plain
    assert (told["FP8 weight"], told["Cache FP16 weight for LoRA"]) == ("Enable", "False")
    kept, told = run(studio, fp8_storage="Enable", cache_fp16_weight=True)
    assert (kept, told["Cache FP16 weight for LoRA"]) == (small, "True")


def test_8_bits_for_sdxl_alone(shared_dir: Path, tmp_path: Path):
    from tests.families.narrow_files import manifest_header

    headers: Mapping[str, Any] = {name: manifest_header(shared_dir, name) for name in ("sd15", "sdxl-base")}
    for name in headers:
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")

    def classify(header: Any) -> Any:
        return identify(headers[header.path.stem], read_sidecar(config_path(header.path)))[1]

    hashes = HashCache(tmp_path / "hashes.sqlite3")
    catalog: Catalog[Any] = Catalog(Sources(folders=[tmp_path]), hashes, classify)
    catalog.refresh()
    shelf = Shelf(catalog=catalog, hashes=hashes, vaes={})
    settings = Snapshot().with_overrides({"fp8_storage": "Enable for SDXL"})
    found = {name: shelf.resolved(catalog.get(name), None, settings)[0].fp8 for name in headers}
    assert found == {"sd15": "", "sdxl-base": "Enable for SDXL"}
