"""Names of LoRAs: files, aliases, folders, and those that mean several files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modules.adapters.hypernetwork.files import hypernetwork_files
from modules.adapters.lora.catalog import LoraCatalog


def put(path: Path, alias: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.ones(1)}, path, {"ss_output_name": alias} if alias else None)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> LoraCatalog:
    put(tmp_path / "one" / "plain.safetensors")
    put(tmp_path / "one" / "sub" / "ink.safetensors", "Ink Style")
    put(tmp_path / "one" / "twin1.safetensors", "twin")
    put(tmp_path / "two" / "twin2.safetensors", "twin")
    put(tmp_path / "two" / "Addams.safetensors", "none")
    put(tmp_path / "two" / "v1" / "same.safetensors")
    put(tmp_path / "two" / "v2" / "same.safetensors")
    (tmp_path / "one" / "broken.safetensors").write_bytes(b"no")
    torch.save({"a": torch.ones(1)}, tmp_path / "two" / "old.pt")
    return LoraCatalog([tmp_path / "one", tmp_path / "two", tmp_path / "absent"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", "one/plain.safetensors"),
        ("ink", "one/sub/ink.safetensors"),
        ("Ink Style", "one/sub/ink.safetensors"),
        ("sub/ink", "one/sub/ink.safetensors"),
        ("twin1", "one/twin1.safetensors"),
        ("twin", None),
        ("none", None),
        ("Addams", "two/Addams.safetensors"),
        ("same", "two/v2/same.safetensors"),
        ("v1/same", "two/v1/same.safetensors"),
        ("old", "two/old.pt"),
        ("broken", "one/broken.safetensors"),
        ("INK", None),
        ("", None),
        ("../one/plain", None),
    ],
)
def test_names(catalog: LoraCatalog, tmp_path: Path, text: str, found: str | None) -> None:
    entry = catalog.find(text)
    assert (None if entry is None else entry.path) == (None if found is None else tmp_path / found)


def test_a_new_file_is_found_and_only_new_ones_are_looked_into(
    catalog: LoraCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(catalog.entries) == 9
    seen: list[Path] = []
    read = LoraCatalog._read

    def count(self: LoraCatalog, path: Path) -> object:
        seen.append(path)
        return read(self, path)

    monkeypatch.setattr(LoraCatalog, "_read", count)
    new = put(tmp_path / "one" / "new.safetensors", "fresh")
    found = catalog.find("fresh")
    assert found is not None
    assert found.path == new
    assert seen == [new]


def test_hypernetworks_go_by_the_names_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.pt", "sub/b.pt", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert hypernetwork_files([tmp_path]) == {"a": tmp_path / "a.pt", "b": tmp_path / "sub" / "b.pt"}
