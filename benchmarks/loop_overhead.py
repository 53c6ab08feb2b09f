"""Measure what a step of the sampling loop costs when the network is free, beside diffusers and k-diffusion.

    python -m benchmarks.loop_overhead [--rounds 15] [--steps 120]

Ours is the pipeline's own `sample`: guidance over a prompt and a negative prompt, the sampler, hooks, progress events of
a job. Diffusers is `StableDiffusionPipeline` with a UNet that answers at once. k-diffusion is its loop around its own
wrapper of a network and a guided denoiser of the usual make. A short and a long run are timed, and the cost of a step is
the slope between them; what the slope leaves over is the cost of a request around its steps.
"""

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, in_turns, one_thread, parser_of, ratio, show, summary

GOAL_US = 60.0
SHORT = 20
LATENT = 64
SAMPLERS = {
    "Euler": ("EulerDiscreteScheduler", "sample_euler"),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", "sample_dpmpp_2m"),
}
"""Ours -> diffusers' scheduler and k-diffusion's function of the same method."""

PEERS = ("diffusers", "k_diffusion")

Loop = Callable[[int], object]
"""Runs that many steps."""


def ours(sampler: str) -> Loop:
    """Return the pipeline's sampling with a network, a text encoder and a catalog that cost nothing."""
    import torch

    from modules.adapters.store import NetworkFiles
    from modules.adapters.textual_inversion.folder import EmbeddingFolder
    from modules.domain.plan import Plan
    from modules.domain.request import Generation, SamplingSpec
    from modules.engine.job import Job, JobHandle, Owner
    from modules.hooks.context import JobContext
    from modules.nn.attention.sdpa import SDPA
    from modules.pipeline.plan import make_plan
    from modules.pipeline.sample import sample
    from modules.pipeline.session import Session
    from modules.residency.approximations import Approximations
    from modules.settings.snapshot import Snapshot

    model, shelf, settings = _free_model(), _shelf(), Snapshot()
    pool: Any = types.SimpleNamespace(lease=lambda *_: nullcontext(model))
    small, none = Approximations((), model.policy), NetworkFiles(EmbeddingFolder(()))

    def run(steps: int) -> object:
        request = Generation(
            prompt="a cat",
            negative_prompt="a dog",
            sampling=SamplingSpec(sampler=sampler, scheduler="Karras", steps=steps),
        )
        handle = JobHandle(
            Job(id="job", kind="txt2img", payload=request, owner=Owner(source="api"), accepted_at=0.0, task_id="task")
        )
        ctx = JobContext(job_id=handle.id, settings=settings, emit=handle.add)
        plan: Plan = make_plan(request, settings, shelf)
        with torch.inference_mode(), Session(pool, small, SDPA, plan.coding, ctx, none) as session:
            return sample(session, plan, next(plan.batches()), None).x

    return run


def _shelf() -> Any:
    """Return a catalog that always finds the same checkpoint and never looks at the disk."""
    from modules.pipeline.plan import Shelf

    entry = types.SimpleNamespace(path=Path("free.safetensors"), base="free", short_hash="", name="free")
    catalog: Any = types.SimpleNamespace(default=lambda: entry, find=lambda _: entry, hash=lambda found: found)
    return Shelf(catalog=catalog, hashes=None, vaes={})


def _free_model() -> Any:
    import torch

    from modules.families.family import Components, LatentSpec, Match
    from modules.residency.device import DeviceWish, decide
    from modules.residency.model import Model
    from modules.residency.placing import Placement
    from modules.sampling.prediction import Prediction, SigmaTable, Target, scaled_linear_alphas
    from modules.sampling.types import Conditioning

    family: Any = types.SimpleNamespace(
        condition=lambda model, texts, options: Conditioning(tokens=torch.zeros(len(texts), 77, 768)),
        network=lambda model, tiling: lambda x, t, conditioning: x,
        told_size=False,
        encoders=lambda model: {},
    )
    nothing = torch.nn.Identity()
    components = Components(
        family=family,
        match=Match(family="free"),
        build=None,  # pyright: ignore[reportArgumentType] -- nothing is built
        text=nothing,
        unet=nothing,
        vae=nothing,
        tokenizer=types.SimpleNamespace(encode=lambda text: []),
        latent=LatentSpec(),
        prediction=Prediction(Target.EPS, SigmaTable.from_alphas(scaled_linear_alphas())),
    )
    policy = decide(DeviceWish(use_cpu=["all"]))
    return Model(components=components, policy=policy, placement=Placement.of(policy))


def diffusers_loop(scheduler: str) -> Loop | str:
    """Return diffusers' pipeline around a UNet that answers at once, or why there is none."""
    if importlib.util.find_spec("diffusers") is None:
        return "diffusers is not installed"
    import torch

    from modules.nn.torchvision_guard import ensure_torchvision_importable

    ensure_torchvision_importable()
    diffusers = importlib.import_module("diffusers")

    class FreeUNet(diffusers.UNet2DConditionModel):
        def forward(self, sample: Any, *_: Any, **__: Any) -> Any:
            return (sample,)

    unet = FreeUNet(
        sample_size=LATENT,
        block_out_channels=(32,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        cross_attention_dim=768,
    )
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "use_karras_sigmas": True}
    vae = diffusers.AutoencoderKL(block_out_channels=(32,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
                                  up_block_types=("UpDecoderBlock2D",) * 4)  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=getattr(diffusers, scheduler)(**betas),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    cond, uncond = torch.zeros(2, 1, 77, 768)

    def run(steps: int) -> object:
        return pipeline(
            prompt_embeds=cond, negative_prompt_embeds=uncond, num_inference_steps=steps, output_type="latent",
            height=8 * LATENT, width=8 * LATENT,
        )  # fmt: skip

    return run


def k_diffusion_loop(function: str) -> Loop | str:
    """Return k-diffusion's loop, or why there is none; its training stack is not loaded."""
    loaded = _load_k_diffusion()
    if isinstance(loaded, str):
        return loaded
    sampling, external = loaded
    import torch

    from modules.sampling.prediction import scaled_linear_alphas

    inner = external.DiscreteEpsDDPMDenoiser(lambda x, t, cond: x, scaled_linear_alphas(), quantize=False)
    cond, uncond = torch.zeros(2, 1, 77, 768)

    def guided(x: Any, sigma: Any, cond: Any, uncond: Any, scale: float) -> Any:
        both = inner(torch.cat([x, x]), torch.cat([sigma, sigma]), cond=torch.cat([cond, uncond]))
        positive, negative = both.chunk(2)
        return negative + (positive - negative) * scale

    levels = float(inner.sigma_min), float(inner.sigma_max)

    def run(steps: int) -> object:
        sigmas = sampling.get_sigmas_karras(steps, *levels)
        x = torch.randn(1, 4, LATENT, LATENT) * sigmas[0]
        extra = {"cond": cond, "uncond": uncond, "scale": 7.0}
        return getattr(sampling, function)(guided, x, sigmas, extra_args=extra, disable=True)

    return run


@cache
def _load_k_diffusion() -> tuple[Any, Any] | str:
    found = importlib.util.find_spec("k_diffusion")
    if found is None or importlib.util.find_spec("torchsde") is None:
        return "k-diffusion is not installed"
    package, utils, solver = (types.ModuleType(name) for name in ("k_diffusion", "k_diffusion.utils", "torchdiffeq"))
    package.__path__ = list(found.submodule_search_locations or ())
    vars(utils)["append_dims"] = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
    vars(package)["utils"] = utils
    vars(solver)["odeint"] = None
    sys.modules.update({module.__name__: module for module in (package, utils, solver)})
    return importlib.import_module("k_diffusion.sampling"), importlib.import_module("k_diffusion.external")


def measure(rounds: int, steps: int, programs: list[str]) -> Result:
    """Time every sampler in every program."""
    one_thread()
    result: Result = {"goal_us_per_step": GOAL_US}
    for sampler, (scheduler, function) in SAMPLERS.items():
        makers = {
            "ours": partial(ours, sampler),
            "diffusers": partial(diffusers_loop, scheduler),
            "k_diffusion": partial(k_diffusion_loop, function),
        }
        loops = {name: makers[name]() for name in programs}
        missing = {name: why for name, why in loops.items() if isinstance(why, str)}
        result[sampler] = _compare({n: loop for n, loop in loops.items() if callable(loop)}, rounds, steps) | missing
    return result


def _compare(loops: dict[str, Loop], rounds: int, steps: int) -> Result:
    calls = {}
    for name, loop in loops.items():
        calls[name, SHORT] = lambda loop=loop: loop(SHORT)
        calls[name, SHORT + steps] = lambda loop=loop: loop(SHORT + steps)
    seconds = in_turns(calls, rounds, warm_ups=2)
    per_step = {
        n: [(b - a) / steps for a, b in zip(seconds[n, SHORT], seconds[n, SHORT + steps], strict=True)] for n in loops
    }
    found: Result = {}
    for name in loops:
        around = min(seconds[name, SHORT]) - SHORT * min(per_step[name])
        found[name] = {"us_per_step": summary(per_step[name], 1e6), "us_around_the_steps": round(around * 1e6)}
    peers = [name for name in loops if name != "ours"]
    return found | {f"ours/{peer}": ratio(per_step["ours"], per_step[peer]) for peer in peers}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=120, help="difference in steps between the short and the long run")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    show(measure(asked.rounds, asked.steps, ["ours", *asked.peers]))


if __name__ == "__main__":
    main()
