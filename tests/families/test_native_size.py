"""The size of the pictures a checkpoint was trained on, from the yaml beside it to the web layer."""

from pathlib import Path

import pytest

from modules.domain.errors import BrokenFile
from modules.families import identify
from modules.families.facts import native_size
from modules.families.sidecar import read_sidecar
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.library.header import Header, read_header
from modules.library.sidecars import config_path
from modules.web import adapters

YAML = "model:\n  params:\n    image_size: {}\n    unet_config:\n      params:\n        image_size: 99\n"


def classify(header: Header) -> object:
    return identify(header, read_sidecar(config_path(header.path)))[1]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog[object]:
    for name in ("plain", "small"):
        make_toy_checkpoint(tmp_path / f"{name}.safetensors")
    (tmp_path / "small.yaml").write_text(YAML.format(16), encoding="utf-8")
    (tmp_path / "torn.safetensors").write_bytes(b"no header")
    make_toy_checkpoint(tmp_path / "wrong.safetensors")
    (tmp_path / "wrong.yaml").write_text(YAML.format("large"), encoding="utf-8")
    made: Catalog[object] = Catalog(Sources(folders=[tmp_path]), HashCache(tmp_path / "hashes.sqlite3"), classify)
    made.refresh()
    return made


@pytest.mark.parametrize(
    ("name", "size"), [("small", 128), ("plain", 512), ("torn", 512), ("wrong", 512), ("not there", 512), ("", 512)]
)
def test_a_checkpoint_tells_its_size(catalog: Catalog[object], name: str, size: int) -> None:
    assert adapters.checkpoint_facts(catalog, name).native_size == size


def test_without_a_checkpoint(tmp_path: Path) -> None:
    empty: Catalog[object] = Catalog(Sources(folders=[tmp_path]), HashCache(tmp_path / "hashes.sqlite3"), classify)
    assert adapters.checkpoint_facts(empty, "").native_size == 512


@pytest.mark.parametrize(("stated", "size"), [("64", 512), ("96", 768), ("-1", 512)])
def test_sizes_of_latents_become_sizes_of_pictures(tmp_path: Path, stated: str, size: int) -> None:
    path = make_toy_checkpoint(tmp_path / "toy.safetensors")
    path.with_suffix(".yaml").write_text(YAML.format(stated), encoding="utf-8")
    _, match = identify(read_header(path), read_sidecar(path.with_suffix(".yaml")))
    assert native_size(match.config) == size


@pytest.mark.parametrize("stated", ["0", "1.5", "large", "[64, 64]", "true"])
def test_a_size_that_is_none_is_named(tmp_path: Path, stated: str) -> None:
    path = make_toy_checkpoint(tmp_path / "toy.safetensors")
    path.with_suffix(".yaml").write_text(YAML.format(stated), encoding="utf-8")
    with pytest.raises(BrokenFile, match="image_size"):
        identify(read_header(path), read_sidecar(path.with_suffix(".yaml")))
