"""Merging needs memory for a piece of a tensor, not for models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MEGABYTE = 1 << 20
PROGRAM = """
import sys
from pathlib import Path

from modules.domain.events import Progressed
from modules.domain.merge import MergeRequest
from modules.hooks.context import JobContext
from modules.library.catalog import Catalog, Sources
from modules.settings.snapshot import Snapshot
from modules.library.hashes import HashCache
from modules.training.merge.merger import Pantry, merge


def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


folder = Path(sys.argv[1])
catalog = Catalog(Sources(folders=[folder]), HashCache(folder / "hashes"), lambda header: None)
catalog.refresh()
before, seen = anonymous(), []
ctx = JobContext(job_id="", settings=Snapshot(), emit=lambda event: seen.append(anonymous() - before))
request = MergeRequest(primary_model_name="a", secondary_model_name="b", multiplier=0.5, custom_name="c")
merge(Pantry(catalog=catalog, hashes=None, vaes={}, folder=folder), request, ctx)
sys.stdout.write(str(max(seen)))
"""


def write_zeros(path: Path, sizes: list[int]) -> None:
    """Write a file of float32 zeros that takes no room on most disks."""
    header, at = {}, 0
    for number, size in enumerate(sizes):
        header[f"model.diffusion_model.{number}.weight"] = {
            "dtype": "F32", "shape": [size // 4], "data_offsets": [at, at + size]
        }  # fmt: skip
        at += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + at)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell memory")
def test_memory_stays_far_below_one_model(tmp_path: Path):
    sizes = [*[4 * MEGABYTE] * 20, 120 * MEGABYTE]
    for name in ("a", "b"):
        write_zeros(tmp_path / f"{name}.safetensors", sizes)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c.safetensors").stat().st_size > sum(sizes)
    assert int(done.stdout) < 40 * MEGABYTE
