"""Measure pictures of Stable Diffusion 1.5 and XL on a CUDA card, beside diffusers, eager and compiled.

    python -m benchmarks.gpu_models [--layouts sd1 sdxl] [--dtype float16] [--steps 20] [--rounds 5] [--ways ...]

Weights are random, half precision, of the full layout: SD 1.5 at 512 x 512 and XL at 1024 x 1024 pixels, Euler, CFG 7.
Ours is the pipeline's own sampling and decoding of a checkpoint file that the pool has loaded, with everything on the
card, with `--medvram` and with `--lowvram`. diffusers is its pipeline with finished prompt embeddings, everything on the
card, and as much memory as our text encoders take; "compiled" adds channels last and torch.compile(max-autotune) for
UNet and VAE. Every way runs in a process of its own. Told are medians: milliseconds of a step (the slope between a
short and the full run), seconds of a picture, and the allocator's peak with what loading took.

There is nothing to measure without CUDA: the status is 3 then. `--device cpu --width 32` shows that the script works.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.layouts import FULL_WIDTH, LAYOUTS, TOLD, diffusers, networks, text_configs, unet_config
from benchmarks.measure import ROOT, Result, parser_of, peak_rss_mb, show, significant
from benchmarks.unet_step import on_meta, random_weights, unets, vaes

NO_CARD = 3
"""Exit status without a card."""
SHORT = 4
SIDES = {"sd1": 512, "sdxl": 1024}
MODES: dict[str, dict[str, Any]] = {"ours": {}, "medvram": {"medvram": True}, "lowvram": {"lowvram": True}}
WAYS = (*MODES, "diffusers", "compiled")

Picture = Callable[[int], object]
"""Makes one with so many steps."""


def write_checkpoint(path: Path, layout: str, width: int, dtype: Any) -> None:
    """Write a checkpoint whose random weights let signals keep their size."""
    from safetensors.torch import save_file

    parts = on_meta(lambda: networks(layout, width))
    tensors = {
        prefix + name: tensor.contiguous()
        for seed, (prefix, part) in enumerate(parts.items())
        for name, tensor in random_weights(part, seed, dtype=dtype).state_dict().items()
        if tensor.is_floating_point()
    }
    save_file(tensors, path)


def ours(path: Path, side: int, device: str, dtype: Any, mode: str) -> Picture:
    """Return how the product makes a picture."""
    import torch

    from modules.adapters.store import NetworkFiles
    from modules.adapters.textual_inversion.folder import EmbeddingFolder
    from modules.domain.request import Generation, GuidanceSpec, SamplingSpec, Size
    from modules.families import identify_files
    from modules.hooks.cancel import CancelToken
    from modules.hooks.context import JobContext
    from modules.nn.attention.sdpa import SDPA
    from modules.nn.ops import PLAIN_OPS
    from modules.pipeline.plan import Shelf, make_plan
    from modules.pipeline.sample import sample
    from modules.pipeline.session import Session
    from modules.residency.approximations import Approximations
    from modules.residency.device import DeviceWish, decide
    from modules.residency.pool import Pool
    from modules.settings.snapshot import Snapshot

    policy = decide(DeviceWish(use_cpu=["all"] if device == "cpu" else [], **MODES[mode]))
    policy = replace(policy, dtype=dtype, text_dtype=dtype, vae_dtype=dtype)
    pool, settings = Pool(policy, identify_files, PLAIN_OPS), Snapshot()
    small, none = Approximations((), policy), NetworkFiles(EmbeddingFolder(()))
    entry = types.SimpleNamespace(path=path, base=path.stem, short_hash="", name=path.name)
    catalog: Any = types.SimpleNamespace(default=lambda: entry, find=lambda _: entry, hash=lambda found: found)
    shelf = Shelf(catalog=catalog, hashes=None, vaes={})

    def picture(steps: int) -> object:
        request = Generation(
            prompt="a cat",
            negative_prompt="a dog",
            size=Size(width=side, height=side),
            sampling=SamplingSpec(sampler="Euler", scheduler="Automatic", steps=steps),
            guidance=GuidanceSpec(cfg_scale=7.0),
        )
        ctx = JobContext(job_id="job", settings=settings, emit=lambda _: None, cancel=CancelToken())
        plan = make_plan(request, settings, shelf)
        with torch.inference_mode(), Session(pool, small, SDPA, plan.coding, ctx, none) as session:
            x = sample(session, plan, next(plan.batches()), None).x
            return session.model.decode(x, tiling=False, fallback=None, note=ctx.note, check_nan=False)

    return picture


def theirs(layout: str, width: int, side: int, device: str, dtype: Any, *, compiled: bool) -> Picture:
    """Return how diffusers makes a picture."""
    import torch

    package = diffusers()
    _, unet = unets(layout, width, device=device, dtype=dtype)
    _, vae = vaes(width, device=device, dtype=dtype)
    vae.register_to_config(force_upcast=False, scaling_factor=0.13025 if layout == "sdxl" else 0.18215)
    if compiled:
        unet, vae = unet.to(memory_format=torch.channels_last), vae.to(memory_format=torch.channels_last)
        unet = torch.compile(unet, mode="max-autotune")
        vae.decode = torch.compile(vae.decode, mode="max-autotune")
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = package.EulerDiscreteScheduler(**betas)
    sizes = unet_config(layout, width)
    cond, uncond = torch.randn(2, 1, 77, sizes.context_dim, device=device, dtype=dtype)
    given: dict[str, Any] = {"prompt_embeds": cond, "negative_prompt_embeds": uncond}
    parts: dict[str, Any] = {"vae": vae, "unet": unet, "scheduler": scheduler, "text_encoder": None, "tokenizer": None}
    if layout == "sd1":
        made = package.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    else:
        made = package.StableDiffusionXLPipeline(
            **parts, text_encoder_2=None, tokenizer_2=None, add_watermarker=False
        )  # fmt: skip
        pooled = torch.randn(2, 1, sizes.vector_dim - TOLD, device=device, dtype=dtype)
        given |= {"pooled_prompt_embeds": pooled[0], "negative_pooled_prompt_embeds": pooled[1]}
    made.set_progress_bar_config(disable=True)
    text = torch.empty(text_bytes(layout, width, dtype), dtype=torch.uint8, device=device)

    def picture(steps: int) -> object:
        assert len(text)  # stays as long as this can be called
        return made(**given, num_inference_steps=steps, guidance_scale=7.0, height=side, width=side, output_type="pt")

    return picture


def text_bytes(layout: str, width: int, dtype: Any) -> int:
    """Return the memory that the text encoders take."""
    from modules.families.sd1.text import TextEncoder
    from modules.families.sdxl.text import TextEncoders

    small, large = text_configs(layout, width)
    text = on_meta(lambda: TextEncoder(small) if large is None else TextEncoders(small, large))
    return sum(weight.numel() for weight in text.parameters()) * dtype.itemsize


def once(way: str, layout: str, side: int, asked: Any) -> Result:
    """Measure one way in this process."""
    import torch

    dtype, on_card = getattr(torch, asked.dtype), asked.device == "cuda"
    begun = time.perf_counter()
    if way in MODES:
        picture = ours(asked.file, side, asked.device, dtype, way)
    else:
        picture = theirs(layout, asked.width, side, asked.device, dtype, compiled=way == "compiled")

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        picture(steps)
        if on_card:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(asked.steps)
    first = time.perf_counter() - begun
    short, whole = (statistics.median(seconds(n) for _ in range(asked.rounds)) for n in (SHORT, asked.steps))
    peak = torch.cuda.max_memory_allocated() / 1e6 if on_card else peak_rss_mb()
    found = {
        "step_ms": 1e3 * (whole - short) / max(1, asked.steps - SHORT),
        "picture_s": whole,
        "first_picture_s": first,
        "peak_mb": peak,
    }
    return {name: significant(value) for name, value in found.items()}


def measure(layout: str, asked: Any) -> Result:
    """Measure all ways for one layout."""
    import torch

    side = asked.side or SIDES[layout]
    result: Result = {"side": side, "dtype": asked.dtype, "steps": asked.steps}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "checkpoint.safetensors")
        write_checkpoint(file, layout, asked.width, getattr(torch, asked.dtype))
        for way in asked.ways:
            result[way] = _in_a_process(way, layout, side, file, asked)
    base = result.get("ours", {})
    for other in ("diffusers", "compiled"):
        if "picture_s" in base and "picture_s" in result.get(other, {}):
            for name in ("step_ms", "picture_s", "peak_mb"):
                result[f"{name} ours/{other}"] = significant(base[name] / result[other][name])
    return result


def _in_a_process(way: str, layout: str, side: int, file: Path, asked: Any) -> Result:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu_models", "--only", way, "--layouts", layout]
    command += ["--side", str(side), "--file", str(file), "--dtype", asked.dtype, "--device", asked.device]
    command += ["--width", str(asked.width), "--steps", str(asked.steps), "--rounds", str(asked.rounds)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        return {"failed": ended.stderr.strip().splitlines()[-1:] or [f"status {ended.returncode}"]}
    return json.loads(ended.stdout)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=list(LAYOUTS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="all of them that are installed without it")
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16"], help="of all networks")
    parser.add_argument("--steps", type=int, default=20, help=f"more than {SHORT}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, help="pixels; 512 and 1024 without it")
    parser.add_argument("--width", type=int, default=FULL_WIDTH, help="first width of the UNet; 320 is the full layout")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", choices=list(WAYS), help="one way, in this process")
    parser.add_argument("--file", type=Path, help="with --only: the checkpoint")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("There is no CUDA device here, so there is nothing to measure.\n")
        raise SystemExit(NO_CARD)
    if asked.only:
        show(once(asked.only, asked.layouts[0], asked.side or SIDES[asked.layouts[0]], asked))
        return
    asked.ways = asked.ways or [way for way in WAYS if way in MODES or diffusers()]
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "cpu"
    show({"device": name, "torch": torch.__version__} | {one: measure(one, asked) for one in asked.layouts})


if __name__ == "__main__":
    main()
