"""Headers of safetensors and pickled files: what is read, and what is refused."""

import json
import struct
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.domain.errors import BrokenFile
from modules.library.header import DTYPE_BITS, MAX_METADATA_VALUE_BYTES, TensorInfo, read_header

DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.uint8: "U8", torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.uint16: "U16", torch.complex64: "C64",
}  # fmt: skip
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def sample() -> dict[str, torch.Tensor]:
    return {str(code): torch.zeros(3, 2).to(dtype) for dtype, code in DTYPES.items()} | {"scalar": torch.tensor(1.0)}


def described(tensors: dict[str, torch.Tensor]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(tuple(t.shape), DTYPES[t.dtype]) for name, t in tensors.items()}


def test_header_agrees_with_the_library_that_wrote_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(sample(), path, metadata={"modelspec.title": "naïve ✓", "n": "1"})
    header = read_header(path)
    assert dict(header.tensors) == described(sample())
    assert dict(header.metadata) == {"modelspec.title": "naïve ✓", "n": "1"}


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_header_agrees_with_torch(tmp_path: Path, zipped: bool) -> None:
    tensors = sample()
    if not zipped:  # the old stream knows no dtype without a storage class of its own
        tensors = {k: v for k, v in tensors.items() if not k.startswith(("F8", "U16"))}
    path = tmp_path / "a.ckpt"
    contents = {"state_dict": tensors, "global_step": 470000, "optimizer_states": [{"x": torch.zeros(4)}]}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    header = read_header(path)
    assert dict(header.tensors) == described(tensors)
    assert header.metadata["global_step"] == "470000"


def test_views_and_parameters_are_named_with_their_own_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    base = torch.zeros(6, 4)
    torch.save({"t": base.t(), "row": base[2, 1:], "p": torch.nn.Parameter(base), "none": base[:0]}, path)
    shapes = {name: info.shape for name, info in read_header(path).tensors.items()}
    assert shapes == {"t": (4, 6), "row": (3,), "p": (6, 4), "none": (0, 4)}


def test_nested_files_are_named_by_the_keys_that_lead_to_a_tensor(tmp_path: Path) -> None:
    hypernetwork, embedding = tmp_path / "h.pt", tmp_path / "e.pt"
    torch.save({320: ({"linear.0.weight": torch.zeros(2, 2)}, {"linear.0.weight": torch.zeros(1)})}, hypernetwork)
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(1, 768)}, "name": "cat"}, embedding)
    assert list(read_header(hypernetwork).tensors) == ["320.0.linear.0.weight", "320.1.linear.0.weight"]
    assert read_header(embedding).tensors == {"string_to_param.*": TensorInfo((1, 768), "F32")}
    assert read_header(embedding).metadata["name"] == "cat"


def test_embedding_from_the_time_of_parameter_dicts(tmp_path: Path) -> None:
    """Old embeddings hold a `ParameterDict` whose parameters lie in `_parameters`."""
    holder = torch.nn.Module()
    holder.register_parameter("*", torch.nn.Parameter(torch.ones(2, 768)))
    path = tmp_path / "e.pt"
    torch.save({"string_to_param": holder}, path)
    raw = path.read_bytes()
    old, new = b"ctorch.nn.modules.module\nModule\n", b"ctorch.nn.modules.container\nParameterDict\n"
    assert old in raw
    repack(path, old, new)
    assert read_header(path).tensors == {"string_to_param.*": TensorInfo((2, 768), "F32")}


def repack(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes in the `data.pkl` of a saved file."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(old, new) if name.endswith("data.pkl") else data)


def test_a_safetensors_file_with_the_name_of_a_checkpoint_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    safetensors.torch.save_file({"x": torch.zeros(2)}, path)
    assert read_header(path).tensors == {"x": TensorInfo((2,), "F32")}


def test_long_metadata_is_cut_and_the_rest_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"__metadata__": {"big": "é" * 2_000_000, "small": "x"}})
    metadata = read_header(path).metadata
    assert 0 < len(metadata["big"].encode()) <= MAX_METADATA_VALUE_BYTES
    assert metadata["small"] == "x"


CRAFTED = {
    "empty": b"",
    "seven bytes": b"\x01\x00\x00\x00\x00\x00\x00",
    "web page": b"<!DOCTYPE html><html><body>Log in to download</body></html>",
    "zip": b"PK\x03\x04" + bytes(60),
    "pickle": b"\x80\x02}q\x00." + bytes(20),
    "length 2^63": struct.pack("<Q", 1 << 63) + b"{}",
    "length over the limit": struct.pack("<Q", 100_000_001) + b"{}",
    "length beyond the file": struct.pack("<Q", 500) + b"{}",
}
HEADERS: dict[str, object] = {
    "not utf-8": b'{"\xff\xfe": 1}',
    "not json": b"{",
    "not an object": [1, 2],
    "deep json": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "same name twice": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "NaN": b'{"a":NaN}',
    "5000-digit integer": b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}',
    "metadata not an object": {"__metadata__": "x", "a": F32},
    "metadata not text": {"__metadata__": {"a": 5}, "a": F32},
    "lone surrogate": b'{"__metadata__":{"a":"\\ud800"}}',
    "tensor not an object": {"a": 5},
    "missing field": {"a": {"dtype": "F32", "shape": [2]}},
    "unknown dtype": {"a": F32 | {"dtype": "F33"}},
    "dtype not text": {"a": F32 | {"dtype": ["F32"]}},
    "negative size": {"a": F32 | {"shape": [-2]}},
    "fractional size": {"a": F32 | {"shape": [2.0]}},
    "boolean size": {"a": F32 | {"shape": [True, 2]}},
    "huge size": {"a": F32 | {"shape": [1 << 40, 1 << 40]}},
    "offsets backwards": {"a": F32 | {"data_offsets": [8, 0]}},
    "offsets beyond the file": {"a": F32, "b": {"dtype": "F32", "shape": [99], "data_offsets": [8, 404]}},
    "shape larger than its bytes": {"a": F32 | {"shape": [3]}},
    "overlap": {"a": F32, "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
    "gap": {"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}, "b": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}},
    "hole at the start": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
    "bytes left over": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
}  # fmt: skip


@pytest.mark.parametrize("case", [*CRAFTED, *HEADERS])
def test_a_crafted_file_gives_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    path = tmp_path / "bad.safetensors"
    if case in CRAFTED:
        path.write_bytes(CRAFTED[case])
    else:
        write(path, HEADERS[case], bytes(8))
    with pytest.raises(BrokenFile) as caught:
        read_header(path)
    message = str(caught.value)
    assert message.startswith("bad.safetensors: ")
    assert "\n" not in message
    assert len(message) < 400


def test_a_good_header_with_the_data_of_the_crafted_ones_is_accepted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"a": F32}, bytes(8))
    assert read_header(path).tensors == {"a": TensorInfo((2,), "F32")}


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"PK\x03\x04", b"<html></html>", b"hello world", b"\x80\x02}.", b"\x80\x02\x8a"]
)
def test_a_broken_pickled_file_gives_one_line(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(data)
    with pytest.raises(BrokenFile, match=rf"^bad\{suffix}: .{{3,300}}$"):
        read_header(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_pickled_file_is_refused_or_keeps_its_shapes(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.zeros(64), "b": torch.zeros(8, 8)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        try:
            assert set(read_header(path).tensors) == {"a", "b"}
            assert not zipped
        except BrokenFile:
            pass


def test_a_storage_that_is_not_in_the_archive_is_missed(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.zeros(64)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if "/data/" not in name}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(BrokenFile, match="storage '0' is missing or cut off"):
        read_header(path)


@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes, prefix: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for suffix in (".safetensors", ".ckpt"):
        path = folder / f"f{suffix}"
        path.write_bytes(prefix + data)
        with pytest.raises(BrokenFile):
            read_header(path)


def test_every_dtype_of_the_manifests_is_known(shared_dir: Path) -> None:
    import gzip

    for manifest in (shared_dir / "manifests").glob("*/*.json.gz"):
        with gzip.open(manifest) as file:
            tensors = json.load(file)["tensors"]
        assert {dtype for _, dtype in tensors.values()} <= set(DTYPE_BITS), manifest.name


def test_reading_headers_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "a.ckpt"
    with warnings.catch_warnings():
        torch.save({"a": torch.zeros(2)}, path)
    code = "import sys, pathlib; from modules.library.header import read_header; read_header(pathlib.Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, timeout=60, check=False).returncode == 0


def test_a_length_that_looks_like_the_start_of_a_pickle_is_a_length(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    entry = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", 0x580) + entry.ljust(0x580) + bytes(4))
    assert read_header(path).tensors["x"].shape == (1,)
