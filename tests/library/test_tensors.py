"""Weights come out as they went in, and without filling memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from modules.domain.errors import BrokenFile
from modules.library.tensors import open_tensors

ROOT = Path(__file__).resolve().parents[2]
DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool,
    torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip


def sample() -> dict[str, torch.Tensor]:
    values = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.5, 1.5]])
    return {str(dtype): values.to(dtype) for dtype in DTYPES} | {"scalar": torch.tensor(7)}


@pytest.mark.parametrize("form", ["safetensors", "zip", "old stream", "safetensors in a ckpt"])
def test_every_form_gives_the_same_tensors(tmp_path: Path, form: str) -> None:
    tensors = sample()
    path = tmp_path / ("m.safetensors" if form == "safetensors" else "m.ckpt")
    if form.startswith("safetensors"):
        safetensors.torch.save_file(tensors, path)
    else:
        if form == "old stream":
            tensors = {name: tensor for name, tensor in tensors.items() if "float8" not in name}
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=form == "zip")
    with open_tensors(path) as opened:
        assert set(opened.names) == set(tensors)
        got = {name: opened.get(name) for name in opened.names}
        for name, tensor in tensors.items():
            assert opened.header.tensors[name].shape == tuple(tensor.shape)
        with pytest.raises(KeyError):
            opened.get("missing")
    for name, tensor in tensors.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name].float(), tensor.float())


def test_a_parameter_comes_out_as_a_plain_tensor(tmp_path: Path) -> None:
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "m.pt")
    with open_tensors(tmp_path / "m.pt") as opened:
        assert not opened.get("w").requires_grad


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenFile, match=name), open_tensors(tmp_path / name):
        pass
    (tmp_path / name).write_bytes(b"<html>" + bytes(50))
    with pytest.raises(BrokenFile, match=name), open_tensors(tmp_path / name):
        pass


RESIDENT = """
import resource, sys
from pathlib import Path
import torch
from modules.library.tensors import open_tensors
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
for name in sys.argv[1:]:
    with open_tensors(Path(name)) as opened:
        before = resident()
        kept = [opened.get(name) for name in opened.names]
        print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the kernel's count of memory pages")
def test_taking_every_tensor_maps_them_and_reads_none(tmp_path: Path) -> None:
    tensors = {f"w{n}": torch.zeros(2 << 20) for n in range(6)}
    torch.save(tensors, tmp_path / "m.ckpt")
    safetensors.torch.save_file(tensors, tmp_path / "m.safetensors")
    paths = [str(tmp_path / name) for name in ("m.ckpt", "m.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, *paths], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == 2, done.stderr
    assert max(grown) < 10 << 20
