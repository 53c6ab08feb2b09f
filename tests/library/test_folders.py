"""Models that are folders: which files are read, how they are listed and hashed, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from modules.domain.errors import BrokenFile, UnsafePickle
from modules.library.catalog import Catalog, Sources
from modules.library.folders import open_model, parsed, read_model_header, stamp, weight_files
from modules.library.hashes import HashCache

UNET = "unet/diffusion_pytorch_model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "own-v1.5"
    for part in ("unet", "vae", "scheduler"):
        (made / part).mkdir(parents=True)
    (made / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (made / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    save(made / f"{UNET}.safetensors", a=1.0)
    save(made / "vae/diffusion_pytorch_model.safetensors", b=2.0)
    return made


def save(path: Path, **tensors: float) -> None:
    save_file({name: torch.tensor([value]) for name, value in tensors.items()}, path)


def catalog_of(models: Path, hashes: Path) -> Catalog[Any]:
    found: Catalog[Any] = Catalog(Sources(folders=[models]), HashCache(hashes), lambda header: sorted(header.tensors))
    found.refresh()
    return found


def values(path: Path) -> dict[str, float]:
    with open_model(path) as file:
        return {name: float(file.get(name)) for name in file.names}


def test_a_folder_reads_like_one_file(folder: Path):
    header = read_model_header(folder)
    assert values(folder) == {"unet/a": 1.0, "vae/b": 2.0}
    assert sorted(header.tensors) == ["unet/a", "vae/b"]
    assert parsed(header.metadata, "scheduler/scheduler_config.json") == {"prediction_type": "v_prediction"}
    assert parsed(header.metadata, "unet/config.json") == {}


def test_the_best_of_several_files_is_read(folder: Path):
    save(folder / f"{UNET}.fp16.safetensors", a=16.0)
    save(folder / f"{UNET}.non_ema.safetensors", a=3.0)
    torch.save({"a": torch.tensor([4.0])}, folder / f"{UNET}.bin")
    expected = [("safetensors", 1.0), ("fp16.safetensors", 16.0), ("non_ema.safetensors", 3.0), ("bin", 4.0)]
    for ending, value in expected:
        assert values(folder)["unet/a"] == value
        (folder / f"{UNET}.{ending}").unlink()
    assert list(weight_files(folder)) == ["vae"]


@pytest.mark.parametrize(
    ("index", "ending"),
    [
        ("safetensors.index.json", "safetensors"),
        ("fp16.safetensors.index.json", "fp16.safetensors"),
        ("safetensors.index.fp16.json", "fp16.safetensors"),
    ],
)
def test_shards_are_put_together(folder: Path, index: str, ending: str):
    (folder / f"{UNET}.safetensors").unlink()
    shards = [f"diffusion_pytorch_model-0000{n}-of-00002.{ending}" for n in (1, 2)]
    save(folder / "unet" / shards[0], a=1.0, c=5.0)
    save(folder / "unet" / shards[1], d=6.0)
    weight_map = {"a": shards[0], "d": shards[1], "c": shards[0]}
    (folder / f"{UNET}.{index}").write_text(json.dumps({"weight_map": weight_map}))
    assert values(folder) == {"unet/a": 1.0, "unet/c": 5.0, "unet/d": 6.0, "vae/b": 2.0}
    (folder / "unet" / shards[1]).unlink()
    with pytest.raises(BrokenFile, match=r"00002-of-00002.*not there"):
        read_model_header(folder)


@pytest.mark.parametrize("name", ["../../../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 3, "a\\b"])
def test_a_list_of_shards_stays_in_its_folder(folder: Path, name: object):
    (folder / f"{UNET}.safetensors").unlink()
    (folder / f"{UNET}.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BrokenFile, match="not the name of a file"):
        read_model_header(folder)
    (folder / f"{UNET}.safetensors.index.json").write_text("[]")
    with pytest.raises(BrokenFile, match="no list of files"):
        read_model_header(folder)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code",))


def test_pickled_weights_pass_the_same_check(folder: Path):
    (folder / f"{UNET}.safetensors").unlink()
    torch.save({"a": Evil()}, folder / f"{UNET}.bin")
    with pytest.raises(UnsafePickle):
        read_model_header(folder)
    with pytest.raises(UnsafePickle), open_model(folder):
        pass


def test_a_folder_is_one_entry_with_a_name_a_hash_and_a_sidecar(folder: Path, tmp_path: Path):
    (tmp_path / "models" / "own-v1.5.yaml").write_text("model: {}")
    save(tmp_path / "models" / "own-v1.safetensors", x=1.0)
    catalog = catalog_of(tmp_path / "models", tmp_path / "hashes.sqlite3")
    one, other = catalog.entries
    assert (one.name, one.base, one.model_name) == ("own-v1.5", "own-v1.5", "own-v1.5")
    assert one.config == tmp_path / "models" / "own-v1.5.yaml"
    assert (other.name, other.base, other.config) == ("own-v1.safetensors", "own-v1", None)
    assert catalog.inspect(one).match == ["unet/a", "vae/b"]
    hashed = catalog.hash(one)
    assert hashed.sha256
    assert catalog.find(hashed.short_hash) == hashed
    assert catalog_of(tmp_path / "models", tmp_path / "hashes.sqlite3").entries[0] == hashed
    before = stamp(folder)
    save(folder / f"{UNET}.safetensors", a=1.0, z=9.0)
    assert stamp(folder) != before
    assert catalog.inspect(one).match == ["unet/a", "unet/z", "vae/b"]
    assert catalog.hash(one).sha256 != hashed.sha256


def test_folders_of_the_hub_cache_have_the_names_of_the_hub(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    for revision in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        snapshot = cache / "models--someone--their-model" / "snapshots" / revision
        for path in sorted(folder.rglob("*")):
            link = snapshot / path.relative_to(folder)
            if path.is_file():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    entries = catalog_of(cache, tmp_path / "hashes.sqlite3").entries
    assert [entry.name for entry in entries] == ["someone/their-model", "someone/their-model@bbbbbbbb"]
    assert entries[0].base == "their-model"
    assert values(entries[0].path) == {"unet/a": 1.0, "vae/b": 2.0}
