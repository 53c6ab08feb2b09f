"""The layout, the private temp folder and the lock on the data folder."""

import dataclasses
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modules.domain.errors import StorageFault
from modules.files.layout import Layout
from modules.files.lock import LOCK_NAME, Holder, hold
from modules.files.temp import remove_leftovers, remove_old_files, temp_root

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("place", "relative"),
    [
        ("checkpoints", "models/Stable-diffusion"),
        ("vae", "models/VAE"),
        ("lora", "models/Lora"),
        ("hypernetworks", "models/hypernetworks"),
        ("codeformer", "models/Codeformer"),
        ("vae_taesd", "models/VAE-taesd"),
        ("deepdanbooru", "models/torch_deepdanbooru"),
        ("embeddings", "embeddings"),
        ("txt2img_samples", "outputs/txt2img-images"),
        ("saved_images", "log/images"),
        ("settings_file", "config.json"),
        ("styles_file", "styles.csv"),
        ("templates", "textual_inversion_templates"),
    ],
)
def test_places_have_the_names_people_know(tmp_path: Path, place: str, relative: str) -> None:
    assert getattr(Layout.of(tmp_path), place) == tmp_path / relative


def test_flags_move_places(tmp_path: Path) -> None:
    root, data, models, lora = (tmp_path / name for name in ("root", "data", "models", "my-loras"))
    moved = Layout.of(root, data)
    assert (moved.lora, moved.embeddings, moved.configs) == (
        data / "models/Lora",
        data / "embeddings",
        root / "configs",
    )
    moved = Layout.of(root, data, models, {"lora": lora})
    assert (moved.lora, moved.vae, moved.settings_file) == (lora, models / "VAE", data / "config.json")
    with pytest.raises(KeyError, match="loras"):
        Layout.of(root, overrides={"loras": lora})


def test_a_layout_touches_the_disk_only_when_told(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    layout.ensure()
    assert layout.checkpoints.is_dir()
    assert layout.extensions.is_dir()
    assert not layout.outputs.exists()
    assert all(isinstance(getattr(layout, f.name), Path) for f in dataclasses.fields(layout))


def test_a_temp_root_is_private_and_goes_away() -> None:
    with temp_root() as root:
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        (root / "sub").mkdir()
        (root / "sub" / "f").touch()
    assert not root.exists()


def test_a_temp_root_goes_away_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temp_root(tmp_path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with pytest.raises(StorageFault), temp_root(tmp_path / "missing"):
        pass


def age(path: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_leftovers_of_dead_runs_go_after_a_day(tmp_path: Path) -> None:
    for name, hours in (("webui-temp-old", 25), ("webui-temp-young", 23), ("webui-temp-alive", 25), ("other", 99)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").touch()
        (tmp_path / name / LOCK_NAME).touch()
        age(tmp_path / name, hours)
    (tmp_path / "webui-temp-link").symlink_to(tmp_path / "other")
    with hold(tmp_path / "webui-temp-alive"):
        assert remove_leftovers(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == ["other", "webui-temp-alive", "webui-temp-link", "webui-temp-young"]


def test_old_files_of_a_long_run_go(tmp_path: Path) -> None:
    with temp_root(tmp_path) as root:
        for name in ("old", "young"):
            (root / name).touch()
        age(root / "old", 25)
        age(root / LOCK_NAME, 25)
        assert remove_old_files(root) == 1
        assert sorted(os.listdir(root)) == [LOCK_NAME, "young"]


HOLDER = """
import sys
from pathlib import Path
from modules.files.lock import hold
with hold(Path(sys.argv[1])) as other:
    print(other, flush=True)
    sys.stdin.read()
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_second_process_learns_who_holds_the_folder(tmp_path: Path) -> None:
    with start(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "None\n"
        with hold(tmp_path) as other:
            assert isinstance(other, Holder)
            assert other.pid == first.pid
            assert str(first.pid) in str(other)
        first.kill()
        first.wait(20)
    with hold(tmp_path) as other:
        assert other is None


def test_a_lock_is_free_after_its_with(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path) as other:
            assert other is None
    with hold(tmp_path), hold(tmp_path) as other:
        assert other is not None
        assert other.pid == os.getpid()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="folder does not exist"), hold(tmp_path / "missing"):
        pass
