"""Measure how long a checkpoint of Stable Diffusion 1.5 or XL takes from the page cache to a usable model.

    python -m benchmarks.load_time [--layout sd1] [--rounds 3] [--dtype float32] [--width 320] [--file FILE]

Without a file, one of the full layout is written with random half-precision weights (2.1 GB, XL 6.9 GB, in the
temporary folder, and deleted afterwards). Beside the load stand: reading the bytes of the file into memory, reading and converting them tensor by tensor (the
least that any program has to do when it computes in another number format than the file's), and the usual way: build
the networks with their default initialisation, read a dictionary of tensors, copy it in. diffusers loads the UNet and the VAE
from the same file, without the text encoders, which ours loads too. Each runs in a process of its own, since memory
that was once used is cheaper to use again.
"""

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.layouts import LAYOUTS, diffusers, networks, save_configs
from benchmarks.measure import ROOT, Result, anonymous_mb, one_thread, parser_of, peak_rss_mb, show, significant

GOAL = 2.0
CHUNK = 16 << 20
FACTS: dict[str, Any] = {}


def write_checkpoint(path: Path, layout: str, width: int) -> None:
    """Write a file of a layout with small random half-precision weights, tensor by tensor."""
    import torch

    with torch.device("meta"):
        parts = networks(layout, width)
    shapes = {
        prefix + name: tuple(tensor.shape)
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(1 << 20, generator=generator).mul_(0.02).half().numpy().tobytes()
    header, start = dict[str, Any](), 0
    for name, shape in shapes.items():
        end = start + 2 * prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that numbers begin where they can be used as they lie
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            whole, rest = divmod(2 * prod(shape), len(grain))
            for _ in range(whole):
                file.write(grain)
            file.write(grain[:rest])


def read(path: Path, dtype: str, *_sizes: object) -> object:
    """Read the bytes of the file into memory."""
    buffer = bytearray(path.stat().st_size)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        for start in range(0, len(buffer), CHUNK):
            file.readinto(view[start : start + CHUNK])
    return buffer


def stream(path: Path, dtype: str, *_sizes: object) -> object:
    """Read the bytes of the file through a small buffer and drop them, as `cat` to nowhere does."""
    view = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while file.readinto(view):
            pass
    return None


def convert(path: Path, dtype: str, *_sizes: object) -> object:
    """Read every tensor and convert it."""
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return [file.get_tensor(name).to(getattr(torch, dtype)) for name in file.keys()]  # noqa: SIM118


def load(path: Path, dtype: str, *_sizes: object) -> object:
    """Load the file as the program does."""
    import torch

    from modules.families import identify
    from modules.families.family import Build, Files
    from modules.library.header import read_header
    from modules.nn.attention.sdpa import SDPA
    from modules.nn.ops import PLAIN_OPS

    family, match = identify(read_header(path), FACTS)
    kind = getattr(torch, dtype)
    made = Build(ops=PLAIN_OPS, attend=SDPA, device=torch.device("cpu"), dtype=kind, text_dtype=kind, vae_dtype=kind)
    return family.load(Files(checkpoint=path), match, made)


def usual(path: Path, dtype: str, layout: str, width: int) -> object:
    """Load the file the usual way."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(path)
    made = networks(layout, width)
    for prefix, module in made.items():
        own = {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}
        module.load_state_dict(own)
        module.to(getattr(torch, dtype))
    return made


def peer(path: Path, dtype: str, layout: str, width: int) -> object:
    """Load UNet and VAE of the file with diffusers."""
    import torch

    package, kind = diffusers(), getattr(torch, dtype)
    classes = {"unet": package.UNet2DConditionModel, "vae": package.AutoencoderKL}
    with tempfile.TemporaryDirectory() as folder:
        return [
            classes[name].from_single_file(
                str(path), config=str(config), torch_dtype=kind, local_files_only=True, disable_mmap=False
            )
            for name, config in save_configs(layout, width, Path(folder)).items()
        ]


WAYS: dict[str, Callable[..., object]] = {
    "stream": stream,
    "read": read,
    "convert": convert,
    "ours": load,
    "usual": usual,
    "diffusers": peer,
}


def once(way: str, path: Path, dtype: str, layout: str, width: int) -> Result:
    """Do one of them in this process; what imports cost is not counted."""
    one_thread()
    if way in ("convert", "ours", "usual"):
        with_imports(layout, width)
    if way == "diffusers":
        with tempfile.TemporaryDirectory() as folder:
            save_configs(layout, 32, Path(folder))
    before = resource.getrusage(resource.RUSAGE_SELF)
    own, begun = anonymous_mb(), time.perf_counter()
    with peak_of_own() as peak:
        kept = WAYS[way](path, dtype, layout, width)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "own_mb": anonymous_mb() - own,
        "peak_own_mb": max(peak) - own,
        "peak_rss_mb": peak_rss_mb(),
    }
    del kept
    return {name: significant(value) for name, value in result.items()}


@contextmanager
def peak_of_own() -> Iterator[list[float]]:
    """Watch the memory that is this process's own, without mapped files; what it was is in the list at the end."""
    seen, over = [anonymous_mb()], threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(anonymous_mb())
            over.wait(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        seen.append(anonymous_mb())


def with_imports(layout: str, width: int) -> None:
    """Import what loading needs and let torch allocate once."""
    import torch

    from modules.nn.clip_tokenizer import load_clip_tokenizer

    load_clip_tokenizer()
    with torch.device("meta"):
        networks(layout, width)
    torch.zeros(1).half().float()


def measure(path: Path, rounds: int, dtype: str, layout: str, width: int, ways: list[str]) -> Result:
    """Time every way in turns, each in a fresh process."""
    runs: dict[str, list[Result]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            runs[way].append(_in_a_process(way, path, dtype, layout, width))
    best = {way: {name: min(run[name] for run in found) for name in found[0]} for way, found in runs.items()}
    size = path.stat().st_size / 1e6
    result: Result = {"layout": layout, "file_mb": significant(size), "dtype": dtype, "goal_ours/read": GOAL, **best}
    for peer in (way for way in ways if way != "ours" and "ours" in ways):
        result[f"ours/{peer}"] = significant(best["ours"]["cpu_s"] / best[peer]["cpu_s"])
        result[f"wall ours/{peer}"] = significant(best["ours"]["wall_s"] / best[peer]["wall_s"])
    if "ours" in best:
        result["peak_own/file"] = significant(best["ours"]["peak_own_mb"] / size)
    return result


def _in_a_process(way: str, path: Path, dtype: str, layout: str, width: int) -> Result:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.load_time", "--file", str(path), "--only", way]
    command += ["--dtype", dtype, "--layout", layout, "--width", str(width)]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"], help="computed in")
    parser.add_argument("--width", type=int, default=320, help="first width of the UNet; 320 is the full layout")
    parser.add_argument("--layout", default="sd1", choices=list(LAYOUTS))
    parser.add_argument("--file", type=Path, help="a checkpoint of that layout to load instead")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="all of them that are installed without it")
    parser.add_argument("--only", choices=list(WAYS), help="do one of them once, in this process")
    asked = parser.parse_args()
    if asked.only:
        show(once(asked.only, asked.file, asked.dtype, asked.layout, asked.width))
        return
    ways = asked.ways or [way for way in WAYS if way != "diffusers" or diffusers()]
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder, "checkpoint.safetensors")
        if not asked.file:
            write_checkpoint(path, asked.layout, asked.width)
        show(measure(path, asked.rounds, asked.dtype, asked.layout, asked.width, ways))


if __name__ == "__main__":
    main()
