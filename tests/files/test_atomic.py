"""Files are old or new, never half; faults speak plainly."""

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modules.domain.errors import StorageFault
from modules.files import atomic

ROOT = Path(__file__).resolve().parents[2]


def temps(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("data", [b"\x00\r\n\xff", "ünï\n", "", b"x" * 3_000_000])
def test_what_is_written_is_read(tmp_path: Path, data: bytes | str) -> None:
    path = tmp_path / "f"
    for _ in range(2):
        atomic.write(path, data)
        assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert os.listdir(tmp_path) == ["f"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    atomic.write(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_new_file_obeys_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic.write(tmp_path / "f", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


def test_a_value_without_json_form_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    atomic.write_json(path, {"a": "ü"})
    for value in (float("nan"), {1, 2}, {"x": float("inf")}):
        with pytest.raises((TypeError, ValueError)):
            atomic.write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}
    assert temps(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_a_fault_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, words: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, step, fail)
        with pytest.raises(StorageFault, match=words) as caught:
            atomic.write(path, "new")
    assert "config.json" in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="folder does not exist"):
        atomic.write(tmp_path / "no" / "f", "x")
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault):
        atomic.make_folder(tmp_path / "file" / "sub")


WRITER = """
import sys
from pathlib import Path
from modules.files.atomic import write_json
path, n = Path(sys.argv[1]), 0
while True:
    n += 1
    write_json(path, {"n": n, "filler": str(n % 10) * 50_000})
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path, dice, seen = tmp_path / "config.json", random.Random(7), set()
    atomic.write_json(path, {"n": 0, "filler": "0" * 50_000})
    for _ in range(24):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stderr=subprocess.DEVNULL)
        start, deadline = path.stat().st_ino, time.monotonic() + 20
        while path.stat().st_ino == start and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        value = json.loads(path.read_text())
        assert value["filler"] == str(value["n"] % 10) * 50_000
        seen.add(value["n"])
    assert len(seen) > 1


def test_create_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert atomic.create(path, b"one")
    assert not atomic.create(path, b"two")
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]
