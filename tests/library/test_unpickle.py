"""Hostile pickles never run; real ones load."""

import contextlib
import io
import logging
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.domain.errors import BrokenFile, UnsafePickle
from modules.library.header import read_header
from modules.library.outline import StandIn
from modules.library.tensors import open_tensors
from modules.library.unpickle import check_pickle, load_pickle

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
START = MAGIC + pickle.dumps(1001, protocol=2) + pickle.dumps({"little_endian": True}, protocol=2)


class Touch:
    """Creates the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.canary}'",))


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def call(canary: Path, get_system: bytes) -> bytes:
    """Opcodes that call whatever `get_system` pushes with the command that makes the canary."""
    return b"\x80\x04" + get_system + text(f"touch '{canary}'") + b"\x85R."


OPCODES: dict[str, Callable[[Path], bytes]] = {
    "reduce": lambda c: pickle.dumps(Touch(c), protocol=2),
    "protocol 4": lambda c: pickle.dumps({"state_dict": Touch(c)}, protocol=4),
    "GLOBAL": lambda c: call(c, b"cos\nsystem\n"),
    "STACK_GLOBAL": lambda c: call(c, text("os") + text("system") + b"\x93"),
    "STACK_GLOBAL from the memo": lambda c: call(
        c, text("os") + b"q\x00" + text("system") + b"q\x01" + b"00h\x00h\x01\x93"
    ),
    "STACK_GLOBAL over a harmless pair": lambda c: call(
        c, text("collections") + text("OrderedDict") + text("os") + text("system") + b"\x93"
    ),
    "STACK_GLOBAL after a swap": lambda c: call(
        c, text("os") + b"q\x00" + text("system") + b"q\x01" + text("collections") + text("Counter") + b"00\x93"
    ),
    "STACK_GLOBAL of a copy": lambda c: call(c, text("os") + text("system") + b"2\x93"),
    "memo entry replaced": lambda c: call(
        c, text("collections") + b"q\x00" + text("os") + b"q\x00" + text("system") + b"q\x01" + b"000h\x00h\x01\x93"
    ),
    "INST": lambda c: b"(" + text(f"touch '{c}'") + b"ios\nsystem\n.",
    "OBJ": lambda c: b"(cos\nsystem\n" + text(f"touch '{c}'") + b"o.",
    "EXT1": lambda c: call(c, b"\x82\x01"),
    "EXT4": lambda c: call(c, b"\x84\x01\x00\x00\x00"),
    "NEWOBJ": lambda c: b"\x80\x02csubprocess\nPopen\n" + text(f"touch '{c}'") + b"\x85\x81.",
    "BUILD": lambda c: b"\x80\x02ccollections\nOrderedDict\n)R}" + text("x") + call(c, b"cos\nsystem\n")[2:-1] + b"sb.",
    "Python 2 name": lambda c: b"\x80\x02c__builtin__\neval\n" + text(f"open('{c}','w')") + b"\x85R.",
    "name that maps to a harmful one": lambda c: b"\x80\x02c__builtin__\nexecfile\n" + text("x") + b"\x85R.",
    "attribute of an allowed module": lambda c: call(c, b"ctorch.serialization\nos.system\n"),
    "torch.load": lambda c: b"\x80\x02ctorch\nload\n" + text("x") + b"\x85R.",
    "getattr": lambda c: b"\x80\x02cbuiltins\ngetattr\n" + text("x") + text("y") + b"\x86R.",
    "import": lambda c: b"\x80\x02cimportlib\nimport_module\n" + text("x") + b"\x85R.",
    "damaged after the call": lambda c: call(c, b"cos\nsystem\n")[:-1] + b"\xff",
    "inside bytes of a nested pickle": lambda c: (
        b"\x80\x02c_pickle\nloads\n" + b"T" + struct.pack("<I", 9) + b"cos\nsystem" + b"\x85R."
    ),
    "second pickle": lambda c: pickle.dumps({"a": 1}, protocol=2) + call(c, b"cos\nsystem\n"),
}
NAMES_NOTHING = {"EXT1", "EXT4", "STACK_GLOBAL of a copy"}


def archive(path: Path, parts: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in parts:
            with pytest.warns(UserWarning, match="Duplicate") if name in file.namelist() else nothing():
                file.writestr(name, data)
    return path


class nothing:  # noqa: N801  (a context manager used like a function)
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def refuse(path: Path, canary: Path) -> str:
    """Offer a file at every door and return the refusal of the first."""
    messages = []
    for door in (check_pickle, load_pickle, read_header, lambda p: open_tensors(p).__enter__()):
        with pytest.raises(BrokenFile) as caught:
            door(path)
        messages.append(str(caught.value))
        assert not canary.exists()
    assert all(message.startswith(path.name) and "\n" not in message for message in messages)
    return messages[0]


@pytest.mark.parametrize("case", OPCODES)
def test_hostile_opcodes_in_an_archive_are_refused_and_named(tmp_path: Path, case: str) -> None:
    canary = tmp_path / "canary"
    path = archive(tmp_path / "bad.ckpt", [("archive/data.pkl", OPCODES[case](canary)), ("archive/version", b"3\n")])
    message = refuse(path, canary)
    if case in NAMES_NOTHING:
        assert "hides" in message or "put together" in message
    else:
        assert "." in message.removeprefix("bad.ckpt: its part 'archive/data.pkl'")
        assert any(name in message for name in ("system", "Popen", "eval", "loads", "load", "getattr", "import_module", "exec"))  # fmt: skip
    with pytest.raises(UnsafePickle):
        check_pickle(path)


@pytest.mark.parametrize("position", range(5))
def test_each_pickle_of_the_old_stream_is_checked(tmp_path: Path, position: int) -> None:
    canary = tmp_path / "canary"
    parts = [MAGIC, *(pickle.dumps(value, protocol=2) for value in (1001, {}, {}, []))]
    parts[position] = pickle.dumps(Touch(canary), protocol=2)
    path = tmp_path / "bad.pt"
    path.write_bytes(b"".join(parts))
    assert "system" in refuse(path, canary)


@pytest.mark.parametrize("extension", [".pt", ".ckpt", ".pth", ".bin", ".safetensors", ".txt", ""])
def test_a_bare_pickle_is_refused_under_any_name(tmp_path: Path, extension: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / f"bad{extension}"
    for data in (pickle.dumps(Touch(canary), protocol=p) for p in (0, 2, 4)):
        path.write_bytes(data)
        with pytest.raises(BrokenFile):
            read_header(path)
        with pytest.raises(BrokenFile), open_tensors(path):
            pass
        assert not canary.exists()


GOOD = pickle.dumps({"a": 1}, protocol=2)


@pytest.mark.parametrize(
    "names",
    [
        ["archive/data.pkl", "archive/data.pkl"],
        ["archive/data.pkl", "archive/DATA.PKL"],
        ["archive/data.pkl", "archive\\data.pkl"],
        ["archive/data.pkl", "other/data.pkl"],
        ["archive/data.pkl", "data.pkl"],
        ["archive/data.pkl", "archive/sub/more.pickle"],
        ["archive/data.pkl", "archive/data/weights"],
        ["archive/data.pkl", "archive/0"],
        ["archive/data.pkl", "nested.pt"],
    ],
)
def test_no_part_of_an_archive_escapes_the_check(tmp_path: Path, names: list[str]) -> None:
    canary = tmp_path / "canary"
    hostile = pickle.dumps(Touch(canary), protocol=2)
    for order in ([GOOD, hostile], [hostile, GOOD]):
        path = archive(tmp_path / "bad.ckpt", list(zip(names, order, strict=True)))
        refuse(path, canary)


def test_an_archive_that_readers_may_find_at_two_places_is_refused(tmp_path: Path) -> None:
    canary, whole, hidden = tmp_path / "canary", io.BytesIO(), io.BytesIO()
    for buffer, data in ((whole, GOOD), (hidden, pickle.dumps(Touch(canary), protocol=2))):
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("archive/data.pkl", data)
    path = tmp_path / "bad.ckpt"
    path.write_bytes(hidden.getvalue() + whole.getvalue())
    refuse(path, canary)
    path.write_bytes(whole.getvalue() + hidden.getvalue())
    refuse(path, canary)
    path.write_bytes(whole.getvalue()[:-2] + struct.pack("<H", 5) + b"hello")
    refuse(path, canary)


def test_weights_that_look_like_a_pickle_are_only_numbers(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "good.ckpt"
    raw = pickle.dumps(Touch(canary), protocol=2)
    torch.save({"a": torch.frombuffer(bytearray(raw), dtype=torch.uint8)}, path)
    with open_tensors(path) as tensors:
        assert bytes(tensors.get("a").tolist()) == raw
    assert not canary.exists()


def test_a_pickle_cannot_ask_for_a_giant_memo(tmp_path: Path) -> None:
    data = b"\x80\x02}r" + struct.pack("<I", 0x7FFFFFFF) + b"."
    path = archive(tmp_path / "bad.ckpt", [("archive/data.pkl", data)])
    with pytest.raises(BrokenFile, match="numbers its parts"):
        check_pickle(path)


def test_a_pickle_cannot_nest_until_the_process_dies(tmp_path: Path) -> None:
    for nested in (b"\x85" * 1_000_000, b"(" * 1_000_000 + b"t" * 1_000_000, b"q\x00h\x00\x86" * 1_000_000):
        path = archive(tmp_path / "bad.ckpt", [("archive/data.pkl", b"\x80\x02}N" + nested + b"Ns.")])
        with pytest.raises(BrokenFile, match="nested too deeply"):
            load_pickle(path)


def test_a_pickle_cannot_change_the_functions_it_is_given(tmp_path: Path) -> None:
    for name in ("torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage", "pytorch_lightning\nX"):
        data = b"\x80\x02c" + name.encode() + b"\nN}" + text("__doc__") + text("changed") + b"s\x86b."
        path = archive(tmp_path / "bad.ckpt", [("archive/data.pkl", data)])
        for door in (load_pickle, read_header):
            with pytest.raises(BrokenFile):
                door(path)


def test_damaged_contents_give_an_error_of_ours(tmp_path: Path) -> None:
    path, dice = tmp_path / "m.ckpt", random.Random(5)
    torch.save({"state_dict": {f"w{n}": torch.zeros(2, n + 1) for n in range(3)}, "step": 5}, path)
    with zipfile.ZipFile(path) as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    for _ in range(300):
        damaged = []
        for name, data in parts:
            if name.endswith("data.pkl"):
                at = dice.randrange(len(data))
                data = data[:at] + bytes(dice.choices(range(256), k=dice.randrange(3))) + data[at + 1 :]
            damaged.append((name, data))
        archive(path, damaged)
        for door in (read_header, load_pickle):
            with contextlib.suppress(BrokenFile):
                door(path)


def test_contents_that_hold_themselves_end(tmp_path: Path) -> None:
    data = b"\x80\x02}q\x00" + b"".join(text(f"k{i}") + b"h\x00s" for i in range(50)) + b"."
    path = archive(tmp_path / "odd.ckpt", [("archive/data.pkl", data), ("archive/version", b"3\n")])
    assert read_header(path).tensors == {}


def lightning_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """A file as the first public releases were: weights, and the trainer's bookkeeping around them."""
    weights = {"model.w": torch.arange(6.0).view(2, 3).half(), "model.b": torch.ones(2).bfloat16()}
    score = np.float64(0.25)

    class ModelCheckpoint: ...

    class AttributeDict(dict[str, Any]): ...

    for cls, module in ((ModelCheckpoint, "callbacks.model_checkpoint"), (AttributeDict, "utilities.parsing")):
        cls.__module__, cls.__qualname__ = f"pytorch_lightning.{module}", cls.__name__
    callback = ModelCheckpoint()
    callback.best = score  # pyright: ignore[reportAttributeAccessIssue]
    contents = {
        "epoch": 0,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": OrderedDict(weights),
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.5), "current": score, "object": callback}},
        "optimizer_states": [{"state": defaultdict(dict, {0: np.arange(3)})}],
        "hyper_parameters": AttributeDict(lr=1e-4),
        "blob": b"\x00\xff",
    }
    with fake_modules(ModelCheckpoint, AttributeDict):
        torch.save(contents, path)
    return weights


class fake_modules:  # noqa: N801  (a context manager used like a function)
    """Make classes importable under the module they name while a file is written."""

    def __init__(self, *classes: type) -> None:
        self.classes = classes

    def __enter__(self) -> None:
        import sys
        import types

        for cls in self.classes:
            parts = cls.__module__.split(".")
            for n in range(1, len(parts) + 1):
                sys.modules.setdefault(".".join(parts[:n]), types.ModuleType(".".join(parts[:n])))
            setattr(sys.modules[cls.__module__], cls.__name__, cls)

    def __exit__(self, *_: object) -> None:
        import sys

        for name in [n for n in sys.modules if n.partition(".")[0] == "pytorch_lightning"]:
            del sys.modules[name]


def test_a_trainers_checkpoint_loads_without_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "v1.ckpt"
    weights = lightning_checkpoint(path)
    with open_tensors(path) as tensors:
        assert tensors.names == tuple(weights)
        for name, weight in weights.items():
            assert torch.equal(tensors.get(name), weight)
            assert tensors.get(name).dtype == weight.dtype
    contents = load_pickle(path)
    (callback,) = contents["callbacks"]
    assert issubclass(callback, StandIn)
    assert contents["hyper_parameters"] == {"lr": 1e-4}


def test_torch_forgets_the_stand_ins_after_a_load(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    lightning_checkpoint(tmp_path / "v1.ckpt")
    load_pickle(tmp_path / "v1.ckpt")
    assert set(torch.serialization.get_safe_globals()) == before


def test_the_flag_lets_code_run_and_says_so_every_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "trusted.pt"
    torch.save({"a": torch.ones(2), "x": Touch(canary)}, path)
    refuse(path, canary)
    assert list(read_header(path, allow_unsafe=True).tensors) == ["a"]
    assert not canary.exists()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with open_tensors(path, allow_unsafe=True) as tensors:
                assert tensors.get("a").tolist() == [1.0, 1.0]
    assert canary.exists()
    assert sum("trusted.pt" in record.message for record in caplog.records) == 2
