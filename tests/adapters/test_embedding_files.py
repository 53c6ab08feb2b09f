"""Embeddings in every public form are read, and found in prompts by the tokens of their names."""

import base64
import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from torch import Tensor

from modules.adapters.textual_inversion.embedding import ONLY, Embedding
from modules.adapters.textual_inversion.folder import EmbeddingFolder
from modules.adapters.textual_inversion.read import read_embedding
from modules.adapters.textual_inversion.words import words_of
from modules.domain.errors import BrokenFile
from modules.nn.clip_tokenizer import load_clip_tokenizer

SD1, SD2 = {"clip_l": 768}, {"clip_h": 1024}
SDXL, REFINER = {"clip_l": 768, "clip_g": 1280}, {"clip_g": 1280}
FILES = [
    ("webui-pt-sd15-1v", 1, {"sd1"}),
    ("webui-pt-sd15-8v", 8, {"sd1"}),
    ("webui-pt-sd2-1v", 1, {"sd2"}),
    ("webui-pt-sd2-8v", 8, {"sd2"}),
    ("original-ti-pt-sd15", 1, {"sd1"}),
    ("emb_params-pt-sd15", 8, {"sd1"}),
    ("emb_params-safetensors-sd15", 8, {"sd1"}),
    ("diffusers-bin-sd15", 1, {"sd1"}),
    ("diffusers-safetensors-sd15", 4, {"sd1"}),
    ("diffusers-pivotal-sdxl", 2, {"sdxl", "refiner"}),
    ("sdxl-safetensors-1v", 1, {"sdxl", "refiner"}),
    ("sdxl-safetensors-8v", 8, {"sdxl", "refiner"}),
    ("sd3-safetensors", 4, {"sdxl", "refiner"}),
    ("refiner-safetensors-clip_g-only", 4, {"refiner"}),
]
MODELS = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL, "refiner": REFINER}


@pytest.mark.parametrize(("name", "count", "models"), FILES, ids=[name for name, *_ in FILES])
def test_public_files(shared_dir: Path, tmp_path: Path, name: str, count: int, models: set[str]) -> None:
    kind = next(
        part for part in ("safetensors", "bin", "pt") if part in name.replace("pivotal", "safetensors").split("-")
    )
    path = tmp_path / f"My Word.{kind}"
    tool = [sys.executable, str(shared_dir / "manifests" / "synthesise.py"), f"embeddings/{name}", str(path)]
    subprocess.run(tool, check=True, capture_output=True, timeout=60)
    found = read_embedding(path)
    assert (found.name, found.num_vectors) == ("My Word", count)
    assert {model for model, encoders in MODELS.items() if found.fitting(encoders) is not None} == models
    if name.startswith("webui"):
        assert (found.step, found.sd_checkpoint, found.sd_checkpoint_name) == (500, "6ce0161689", "v1-5-pruned-emaonly")


def test_values_and_hash(tmp_path: Path) -> None:
    path, vectors = tmp_path / "word.safetensors", torch.randn(3, 8)
    save_file({"emb_params": vectors}, path)
    found = read_embedding(path)
    assert found.vectors[ONLY].equal(vectors)
    assert found.fitting({"any": 8}) is not None
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_parameters_of_the_first_trainers(tmp_path: Path) -> None:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(2, 8))})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, tmp_path / "old.pt")
    assert read_embedding(tmp_path / "old.pt").vectors[ONLY].equal(torch.ones(2, 8))


@pytest.mark.parametrize(
    "stored",
    [
        {"a": torch.ones(1, 8), "b": torch.ones(1, 8)},
        {"a": torch.ones(1, 2, 8)},
        {"a": torch.ones(0, 8)},
        {"a": torch.ones(2, 8, dtype=torch.int64)},
        {"a": torch.full((2, 8), float("nan"))},
        {"clip_l": torch.ones(1, 8), "clip_g": torch.ones(2, 8)},
    ],
)
def test_other_tensors_are_no_embeddings(tmp_path: Path, stored: dict[str, Tensor]) -> None:
    save_file(stored, tmp_path / "x.safetensors")
    with pytest.raises(BrokenFile, match=r"x\.safetensors"):
        read_embedding(tmp_path / "x.safetensors")


def document(vectors: Tensor) -> bytes:
    contents = {
        "string_to_token": {"*": 265}, "string_to_param": {"*": {"TORCHTENSOR": vectors.tolist()}}, "name": "inside",
        "step": 7, "sd_checkpoint": None, "sd_checkpoint_name": None,
    }  # fmt: skip
    return json.dumps(contents).encode()


def hide(packed: bytes, height: int = 40) -> Image.Image:
    """Put bytes into the lower bits of a picture's pixels as A1111 does: low halves left, high halves right."""
    data = np.frombuffer(packed, dtype=np.uint8)
    data = np.concatenate([data, np.zeros(-len(data) % (height * 3), dtype=np.uint8)])
    row, state = np.empty(len(data), dtype=np.uint8), 0
    for i in range(len(row)):
        state = (1664525 * state + 1013904223) % 2**32
        row[i] = state % 255
    halves = [((half ^ (row & 15)) | 0x50).reshape(height, -1, 3) for half in (data & 15, data >> 4)]
    black, middle = np.zeros((height, 1, 3), dtype=np.uint8), np.full((height, 30, 3), 77, dtype=np.uint8)
    inside = np.concatenate([halves[0], black, middle, black, halves[1]], axis=1)
    return Image.fromarray(np.pad(inside, ((2, 3), (1, 4), (0, 0))))


@pytest.mark.parametrize("form", ["text.png", "hidden.png", "hidden.webp"])
def test_embeddings_in_pictures(tmp_path: Path, form: str) -> None:
    vectors, path = torch.randn(2, 8), tmp_path / form
    if form == "text.png":
        info = PngInfo()
        info.add_text("sd-ti-embedding", base64.b64encode(document(vectors)).decode())
        Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    else:
        hide(zlib.compress(document(vectors), 9)).save(path, lossless=True)
    found = read_embedding(path)
    assert (found.name, found.step) == ("inside", 7)
    torch.testing.assert_close(found.vectors[ONLY], vectors)


@pytest.mark.parametrize("kind", ["plain", "text", "bytes"])
def test_pictures_without_an_embedding(tmp_path: Path, kind: str) -> None:
    path, info = tmp_path / "x.png", PngInfo()
    if kind == "text":
        info.add_text("sd-ti-embedding", base64.b64encode(b'{"string_to_param": [1]}').decode())
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, pnginfo=info)
    if kind == "bytes":
        path.write_bytes(b"no picture")
    with pytest.raises(BrokenFile):
        read_embedding(path)


def embedding(name: str, count: int = 1, width: int = 8) -> Embedding:
    return Embedding(name=name, vectors={ONLY: torch.full((count, width), float(count))}, digest=f"{count:012}")


def test_the_longest_name_is_found_first_whatever_its_case() -> None:
    tokenizer = load_clip_tokenizer()
    words = words_of(
        [embedding("my style"), embedding("My"), embedding("my style two", 3), embedding("wide", 1, 16)],
        {"clip_l": 8},
        tokenizer.encode,
    )
    assert set(words.embeddings) == {"my style", "My", "my style two"}

    def found(text: str, position: int = 0) -> Any:
        return words.find(tokenizer.encode(text), position)

    assert found("MY Style Two") == (3, 3, "my style two")
    assert found("my style, two") == (2, 1, "my style")
    assert found("my") == (1, 1, "My")
    assert found("a my stylish", 1) == (1, 1, "My")
    assert found("other") is None
    assert words.of_encoder("clip_l", {"clip_l": 8}).vectors("my style two").shape == (3, 8)


def test_a_folder_is_read_again_only_where_it_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sub").mkdir()
    save_file({"a": torch.ones(1, 8)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1, 8)}, tmp_path / "sub" / "two.safetensors")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    Image.new("RGB", (4, 4)).save(tmp_path / "one.preview.png")
    folder = EmbeddingFolder([tmp_path])
    first = folder.listing()
    assert {one.name for one in first.embeddings} == {"one", "two"}
    assert set(first.faults) == {"bad"}
    save_file({"a": torch.ones(2, 8)}, tmp_path / "one.safetensors")
    second = {one.name: one for one in folder.listing().embeddings}
    before = {one.name: one for one in first.embeddings}
    assert second["two"] is before["two"]
    assert second["one"].num_vectors == 2
    assert caplog.text.count("embedding skipped") == 1
    (tmp_path / "sub" / "two.safetensors").unlink()
    assert {one.name for one in folder.listing().embeddings} == {"one"}
