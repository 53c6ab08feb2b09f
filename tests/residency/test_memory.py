"""Memory: how much there is, how weights lie in it, and that none is lost."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor, nn

from benchmarks.load_time import write_checkpoint
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.nn.attention.plain import PLAIN
from modules.residency.device import Offload
from modules.residency.keeping import Keeping
from modules.residency.memory import (
    ALIGNMENT,
    CHUNK_BYTES,
    Machine,
    Packed,
    carve_all,
    container_room,
    packed_bytes,
)
from modules.residency.placing import changed, in_format, relocate, replace_weights
from tests.residency.pools import Stock, wanted

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = 40
SLACK = 24 << 20
OBJECTS_MB = 45
"""For the three thousand layers themselves, without their weights, and for the VAE in the layout a CPU likes best."""


def test_this_machine_tells_what_is_free() -> None:
    machine = Machine(torch.device("cpu"))
    assert 0 < machine.free_ram() <= psutil.virtual_memory().total
    assert machine.free_device() > 0
    tensor = torch.ones(3)
    assert machine.to_ram()(tensor) is tensor
    assert machine.to_device()(tensor) is tensor


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({}, None),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": ""}, None),
        ({"memory.max": "100", "memory.current": "70", "memory.stat": "anon 50\ninactive_file 15"}, 45),
        ({"memory.max": "100", "memory.current": "130", "memory.stat": "anon 50"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": "100",
                "memory/memory.usage_in_bytes": "70",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 20",
            },
            50,
        ),
    ],
)
def test_the_limits_of_a_container_count(tmp_path: Path, files: dict[str, str], room: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    assert container_room(tmp_path) == room


def some_tensors() -> list[Tensor]:
    return [
        torch.randn(3, 5),
        torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
        torch.randn(7).half(),
        torch.arange(4),
        torch.tensor(2.5),
        torch.randn(6, 4).t(),
        torch.empty(0),
    ]


def test_packed_tensors_are_the_same_in_the_same_order_of_elements() -> None:
    asked: list[int] = []

    def allocate(num_bytes: int) -> Tensor:
        asked.append(num_bytes)
        return torch.empty(num_bytes, dtype=torch.uint8)

    originals, packed = some_tensors(), Packed(allocate)
    copies = [packed.take(tensor) for tensor in originals]
    for original, copy in zip(originals, copies, strict=True):
        assert torch.equal(original, copy)
        assert (original.dtype, original.stride()) == (copy.dtype, copy.stride())
        assert copy.data_ptr() % ALIGNMENT == copies[0].data_ptr() % ALIGNMENT or not copy.numel()
    assert asked == [CHUNK_BYTES]
    large = torch.zeros(CHUNK_BYTES // 4, dtype=torch.uint8).repeat(3)
    assert torch.equal(packed.take(large), large)
    assert asked == [CHUNK_BYTES, packed_bytes([large])]  # one of its own


def test_where_no_more_can_be_pinned_weights_lie_in_ordinary_memory() -> None:
    calls: list[int] = []

    def allocate(num_bytes: int) -> Tensor:
        calls.append(num_bytes)
        raise RuntimeError("CUDA error: out of memory\nsee the manual")

    packed, tensor = Packed(allocate), torch.randn(3)
    assert packed.take(tensor) is tensor
    assert packed.take(tensor) is tensor
    assert len(calls) == 1


def test_one_buffer_holds_the_weights_of_a_block() -> None:
    originals = some_tensors()
    buffer = torch.zeros(packed_bytes(originals), dtype=torch.uint8)
    views = carve_all(buffer, originals)
    for view, original in zip(views, originals, strict=True):
        view.copy_(original)
    assert all(torch.equal(view, original) for view, original in zip(views, originals, strict=True))
    assert all(not view.numel() or view.untyped_storage().data_ptr() == buffer.data_ptr() for view in views)


class Tied(nn.Module):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.register_buffer("position", torch.arange(3))
        self.requires_grad_(False)


def test_what_is_shared_stays_shared_and_positions_stay_whole_numbers() -> None:
    tied = Tied()
    before = [id(weight) for weight in (*tied.parameters(), *tied.buffers())]
    with changed(tied, in_format(torch.float16)):
        assert tied.a.weight.data_ptr() == tied.b.weight.data_ptr()
        assert (tied.a.weight.dtype, tied.get_buffer("position").dtype) == (torch.float16, torch.int64)
    assert [id(weight) for weight in (*tied.parameters(), *tied.buffers())] == before


def test_a_change_that_fails_half_way_changes_nothing() -> None:
    tied, seen = Tied(), list[Tensor]()
    before = [id(weight) for weight in (*tied.parameters(), *tied.buffers())]

    def fail_at_the_third(tensor: Tensor) -> Tensor:
        seen.append(tensor)
        if len(seen) == 3:
            raise RuntimeError("out of memory")
        return tensor.half()

    with pytest.raises(RuntimeError):
        replace_weights(tied.modules(), fail_at_the_third)
    assert [id(weight) for weight in (*tied.parameters(), *tied.buffers())] == before


def test_weights_that_moved_while_a_job_ran_can_be_trained() -> None:
    tied = Tied()
    with torch.inference_mode():
        relocate(tied, in_format(torch.float64))
    x = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    tied.a(x).sum().backward()  # torch refuses to look back at what was made in inference mode
    assert x.grad is not None


def tensors_alive() -> int:
    """Bytes of all tensors there are, each memory once."""
    gc.collect()
    found = {}
    for one in gc.get_objects():
        if type(one) in (Tensor, nn.Parameter):
            storage = one.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


@pytest.mark.parametrize("offload", [Offload.NONE, Offload.COMPONENTS])
def test_forty_switches_leave_memory_flat(tmp_path: Path, offload: Offload) -> None:
    card = None if offload is Offload.NONE else 2 << 30
    stock = Stock(tmp_path, keeping=Keeping(automatic=False), card=card, offload=offload)
    vae = make_toy_checkpoint(tmp_path / "vae.safetensors", 9)

    def switch(times: int) -> None:
        for number in range(times):
            asked = wanted(stock.path("ab"[number % 2]), vae if number % 4 > 1 else None)
            with stock.pool.lease(asked, PLAIN) as model, torch.inference_mode():
                if card is None:
                    model.decode(torch.zeros(1, 4, 4, 4), tiling=False, fallback=None, note=stock.notes.append)
            del model

    switch(4)
    process = psutil.Process()
    tensors, rss = tensors_alive(), process.memory_info().rss
    switch(SWITCHES)
    assert tensors_alive() <= tensors + 4096
    assert process.memory_info().rss <= rss + SLACK
    assert len(stock.loads) == SWITCHES + 4


LOAD = """
import gc, json, sys
from pathlib import Path
import torch
from benchmarks.load_time import load, peak_of_own, with_imports

torch.set_num_threads(1)
path, found = Path(sys.argv[1]), {}
with_imports("sdxl", 32)
load(path, "float16")  # what is imported on the way is not counted
for dtype in ("float16", "float32"):
    gc.collect()
    with peak_of_own() as peak:
        kept = load(path, dtype)
    found[dtype] = max(peak) - peak[0]
    del kept
print(json.dumps(found | {"file": path.stat().st_size / 1e6}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell anonymous memory")
def test_loading_never_holds_two_copies(tmp_path: Path) -> None:
    """A file of half precision stays where it is, mapped; in float32 it takes its new size and no more."""
    path = tmp_path / "narrow-sdxl.safetensors"
    write_checkpoint(path, "sdxl", 32)
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found_mb = json.loads(ended.stdout)
    assert found_mb["file"] > 60
    assert found_mb["float16"] <= OBJECTS_MB
    assert found_mb["float32"] <= 2 * found_mb["file"] * 1.03 + OBJECTS_MB
