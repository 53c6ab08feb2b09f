"""Numbers grow, are never shared and never used twice."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modules.domain.errors import PathRefused, StorageFault
from modules.files import numbering
from modules.files.numbering import Numbering, remove_leftovers, tidy

ROOT = Path(__file__).resolve().parents[2]


def save(numbers: Numbering, folder: Path, base: str = "", tail: str = "-1.png") -> str:
    with numbers.reserve(folder, base) as slot:
        slot.temp.write_bytes(b"picture")
        return slot.publish(f"{slot.text}{tail}").name


@pytest.mark.parametrize(
    ("there", "base", "expected"),
    [
        ([], "", "00000-1.png"),
        (["00000-5.png", "00041-7.png", "notes.txt"], "", "00042-1.png"),
        (["00007.png"], "", "00008-1.png"),
        (["grid-0003.png"], "", "00000-1.png"),
        (["grid-0003.png", "00009-1.png", "grid-0004-a.jpg"], "grid", "grid-0005-1.png"),
        (["xyz_grid-0001-a.png", "grid-0009.png"], "xyz_grid", "xyz_grid-0002-1.png"),
        (["12cats.png", "3213214124.png", "٣-1.png"], "", "00000-1.png"),
        (["123456-1.png"], "", "123457-1.png"),
        (["a.b(-0001.png"], "a.b(", "a.b(-0002-1.png"),
    ],
)
def test_the_next_number_follows_the_largest(tmp_path: Path, there: list[str], base: str, expected: str) -> None:
    for name in there:
        (tmp_path / name).touch()
    assert save(Numbering(), tmp_path, base) == expected
    assert sorted(os.listdir(tmp_path)) == sorted([*there, expected])


def test_a_number_is_not_used_again_after_its_file_is_gone(tmp_path: Path) -> None:
    numbers = Numbering()
    first = save(numbers, tmp_path)
    (tmp_path / first).unlink()
    assert save(numbers, tmp_path) == "00001-1.png"


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    numbers = Numbering()
    with pytest.raises(ZeroDivisionError), numbers.reserve(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(PathRefused), numbers.reserve(tmp_path) as slot:
        slot.publish("../x.png")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="missing"), Numbering().reserve(tmp_path / "missing"):
        pass


def test_taken_numbers_are_tried_only_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "_create", lambda _: False)
    with pytest.raises(StorageFault, match="no free number after 499"), Numbering().reserve(tmp_path):
        pass


def test_threads_share_no_number(tmp_path: Path) -> None:
    numbers = Numbering()
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: save(numbers, tmp_path, tail=f"-{n}.png"), range(100)))
    assert sorted(int(name[:5]) for name in names) == list(range(100))


SAVER = """
import sys
from pathlib import Path
from modules.files.numbering import Numbering
numbers = Numbering()
for n in range(int(sys.argv[2])):
    with numbers.reserve(Path(sys.argv[1])) as slot:
        slot.temp.write_bytes(b"picture")
        slot.publish(f"{slot.text}-{sys.argv[3]}-{n}.png")
"""


def test_processes_share_no_number(tmp_path: Path) -> None:
    each = 150
    jobs = [
        subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path), str(each), who], cwd=ROOT) for who in ("a", "b")
    ]
    assert [job.wait(120) for job in jobs] == [0, 0]
    names = os.listdir(tmp_path)
    assert len(names) == 2 * each
    assert len({name[:5] for name in names}) == 2 * each


def test_leftovers_of_a_killed_process_are_removed_when_old(tmp_path: Path) -> None:
    old = time.time() - 7200
    for name in ("00003.tmp", "grid-0001.tmp", ".0123456789ab.tmp", "mine.tmp", "00001-1.png"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))
    (tmp_path / "00009.tmp").touch()
    assert remove_leftovers(tmp_path) == 3
    assert sorted(os.listdir(tmp_path)) == ["00001-1.png", "00009.tmp", "mine.tmp"]


def test_leftovers_are_found_in_every_folder(tmp_path: Path) -> None:
    old, below = time.time() - 7200, tmp_path / "outputs" / "2030-01-01"
    below.mkdir(parents=True)
    for path in (below / "00003.tmp", tmp_path / "outputs" / "00004.tmp", tmp_path / "00005.tmp"):
        path.touch()
        os.utime(path, (old, old))
    assert tidy([tmp_path / "outputs", below, tmp_path / "none"]) == 2
    assert sorted(os.listdir(tmp_path)) == ["00005.tmp", "outputs"]
