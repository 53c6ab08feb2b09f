"""Measure how long a checkpoint of Stable Diffusion 1.5 takes from the page cache to a usable model.

    python -m benchmarks.load_time [--rounds 3] [--dtype float32] [--width 320] [--file FILE]

Without a file, one of the full layout is written with random half-precision weights (2.1 GB, in the temporary folder).
Beside the load stand: reading the bytes of the file into memory, reading and converting them tensor by tensor (the
least that any program has to do when it computes in another number format than the file's), and the usual way: build
the networks with their default initialisation, read a dictionary of tensors, copy it in. Each runs in a process of its
own, since memory that was once used is cheaper to use again.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Result, anonymous_mb, one_thread, parser_of, peak_rss_mb, show, significant

GOAL = 2.0
CHUNK = 16 << 20
FACTS: dict[str, Any] = {}


def networks(width: int) -> dict[str, Any]:
    """Return prefix in the file -> network, in the sizes of Stable Diffusion 1 unless the width says otherwise."""
    from modules.families.sd1.keys import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX, TextConfig
    from modules.families.sd1.network import UNet, UNetConfig
    from modules.families.sd1.text import TextEncoder
    from modules.families.sd1.vae import VAE, VAEConfig

    text = TextConfig() if width == 320 else TextConfig(layers=1, vocabulary=49408)
    return {
        UNET_PREFIX: UNet(UNetConfig(model_channels=width)),
        VAE_PREFIX: VAE(VAEConfig(channels=128 if width == 320 else width)),
        TEXT_PREFIX: TextEncoder(text),
    }


def write_checkpoint(path: Path, width: int) -> None:
    """Write a file of the layout of Stable Diffusion 1 with small random half-precision weights."""
    import torch
    from safetensors.torch import save_file

    with torch.device("meta"):
        parts = networks(width)
    grain = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).mul_(0.02).half()
    tensors = {
        prefix + name: grain.repeat(-(-tensor.numel() // grain.numel()))[: tensor.numel()].reshape(tensor.shape).clone()
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }
    save_file(tensors, path)


def read(path: Path, dtype: str, width: int) -> object:
    """Read the bytes of the file into memory."""
    buffer = bytearray(path.stat().st_size)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        for start in range(0, len(buffer), CHUNK):
            file.readinto(view[start : start + CHUNK])
    return buffer


def stream(path: Path, dtype: str, width: int) -> object:
    """Read the bytes of the file through a small buffer and drop them, as `cat` to nowhere does."""
    view = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while file.readinto(view):
            pass
    return None


def convert(path: Path, dtype: str, width: int) -> object:
    """Read every tensor and convert it."""
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return [file.get_tensor(name).to(getattr(torch, dtype)) for name in file.keys()]  # noqa: SIM118


def load(path: Path, dtype: str, width: int) -> object:
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


def usual(path: Path, dtype: str, width: int) -> object:
    """Load the file the usual way."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(path)
    made = networks(width)
    for prefix, module in made.items():
        own = {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}
        module.load_state_dict(own)
        module.to(getattr(torch, dtype))
    return made


WAYS: dict[str, Callable[[Path, str, int], object]] = {
    "stream": stream,
    "read": read,
    "convert": convert,
    "ours": load,
    "usual": usual,
}


def once(way: str, path: Path, dtype: str, width: int) -> Result:
    """Do one of them in this process; what imports cost is not counted."""
    one_thread()
    if way in ("convert", "ours", "usual"):
        with_imports(width)
    before = resource.getrusage(resource.RUSAGE_SELF)
    own, begun = anonymous_mb(), time.perf_counter()
    kept = WAYS[way](path, dtype, width)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "own_mb": anonymous_mb() - own,
        "peak_rss_mb": peak_rss_mb(),
    }
    del kept
    return {name: significant(value) for name, value in result.items()}


def with_imports(width: int) -> None:
    """Import what loading needs and let torch allocate once."""
    import torch

    from modules.nn.clip_tokenizer import load_clip_tokenizer

    load_clip_tokenizer()
    with torch.device("meta"):
        networks(width)
    torch.zeros(1).half().float()


def measure(path: Path, rounds: int, dtype: str, width: int, ways: list[str]) -> Result:
    """Time every way in turns, each in a fresh process."""
    runs: dict[str, list[Result]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            runs[way].append(_in_a_process(way, path, dtype, width))
    best = {way: {name: min(run[name] for run in found) for name in found[0]} for way, found in runs.items()}
    size = path.stat().st_size / 1e6
    result: Result = {"file_mb": significant(size), "dtype": dtype, "goal_ours/read": GOAL, **best}
    for peer in (way for way in ways if way != "ours"):
        result[f"ours/{peer}"] = significant(best["ours"]["cpu_s"] / best[peer]["cpu_s"])
    return result | {"peak_rss/file": significant(best["ours"]["peak_rss_mb"] / size)}


def _in_a_process(way: str, path: Path, dtype: str, width: int) -> Result:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.load_time", "--file", str(path), "--only", way]
    command += ["--dtype", dtype, "--width", str(width)]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"], help="computed in")
    parser.add_argument("--width", type=int, default=320, help="first width of the UNet; 320 is the full layout")
    parser.add_argument("--file", type=Path, help="a checkpoint of Stable Diffusion 1 to load instead")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--only", choices=list(WAYS), help="do one of them once, in this process")
    asked = parser.parse_args()
    if asked.only:
        show(once(asked.only, asked.file, asked.dtype, asked.width))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder, "checkpoint.safetensors")
        if not asked.file:
            write_checkpoint(path, asked.width)
        show(measure(path, asked.rounds, asked.dtype, asked.width, asked.ways))


if __name__ == "__main__":
    main()
