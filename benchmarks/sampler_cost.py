"""Measure what every sampler costs beside Euler on the shipped checkpoint, and a request beside its network calls.

    python -m benchmarks.sampler_cost [--rounds 5] [--steps 20] [--requests 10] [--samplers Euler DEIS]

The program runs in this process on one thread with pictures of 128 x 128 pixels. For the samplers jobs run in turns, the
sampling in them is timed, and the network calls are counted: a sampler that asks the network twice a step
costs twice as much per step, and should cost the same per call. For the request the program is asked over its REST API
for a picture whose prompt it has not seen; what is left beside the text encoder, the denoising network and the decoder
is the price of everything else, from JSON to PNG.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Result, one_thread, parser_of, ratio, show, significant, summary
from benchmarks.request_overhead import Api, serving

PORT = 17863
GOAL = 1.05
SIDE_PX = 128
CHECKPOINTS = ROOT / "models" / "Stable-diffusion"
PROMPT = "a large {} star on a {} background"
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black")


class Networks:
    """Add up the calls of a model's networks and their time."""

    def __init__(self, components: Any) -> None:
        self.calls = 0
        self.cpu_s = self.wall_s = 0.0
        components.text.forward = self._timed(components.text.forward)
        components.vae.decode = self._timed(components.vae.decode)
        components.unet.forward = self._counted(self._timed(components.unet.forward))

    def reset(self) -> None:
        """Begin anew."""
        self.calls, self.cpu_s, self.wall_s = 0, 0.0, 0.0

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            found = call(*args, **kwargs)
            self.cpu_s += time.thread_time() - cpu
            self.wall_s += time.perf_counter() - wall
            return found

        return timed

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return call(*args, **kwargs)

        return counted


def measure(labels: list[str], steps: int, rounds: int, requests: int, port: int) -> Result:
    """Start the program here and measure both."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), port, "--ckpt-dir", str(CHECKPOINTS)) as house:
        networks = Networks(_components(house._workshop.result(), house.settings.snapshot()))
        return {
            "checkpoint": house.catalog.default().name,
            "steps": steps,
            "goal_request/networks": GOAL,
            "request": _requests(Api(port), networks, steps, requests),
            "samplers": _samplers(house, networks, labels, steps, rounds),
        }


def _components(shop: Any, settings: Any) -> Any:
    """Return the networks that requests will use; the pool keeps them."""
    from modules.domain.request import Generation
    from modules.pipeline.plan import resolve_model

    model, _ = resolve_model(Generation(), settings, shop.shelf())
    with shop.pool.lease(model, shop.attention(settings)) as leased:
        return leased.components


def _requests(api: Api, networks: Networks, steps: int, count: int) -> Result:
    cpu: list[float] = []
    wall: list[float] = []
    inside: list[tuple[float, float]] = []
    for i in range(-1, count):
        prompt = PROMPT.format(COLOURS[i % 10], COLOURS[i // 10 % 10])
        asked = {"prompt": prompt, "seed": i, "sampler_name": "Euler", "steps": steps, "width": SIDE_PX,
                 "height": SIDE_PX, "save_images": False}  # fmt: skip
        networks.reset()
        wall_from, cpu_from = time.perf_counter(), time.process_time()
        api("POST", "/sdapi/v1/txt2img", asked)
        if i >= 0:  # the first one warms up
            wall.append(time.perf_counter() - wall_from)
            cpu.append(time.process_time() - cpu_from)
            inside.append((networks.cpu_s, networks.wall_s))
    return {
        "wall_ms": summary(wall, 1e3),
        "cpu_ms": summary(cpu, 1e3),
        "networks_cpu_ms": summary([one for one, _ in inside], 1e3),
        "cpu/networks": ratio(cpu, [one for one, _ in inside]),
        "wall/networks": ratio(wall, [one for _, one in inside]),
    }


def _samplers(house: Any, networks: Networks, labels: list[str], steps: int, rounds: int) -> dict[str, Result]:
    from modules.pipeline import generate

    sampling = Sampling(generate)
    jobs = {label: _job(house, label, steps) for label in labels}
    calls: dict[str, int] = {}
    seconds: dict[str, list[float]] = {label: [] for label in labels}
    for i in range(-1, rounds):
        for label in labels[max(i, 0) % len(labels) :] + labels[: max(i, 0) % len(labels)]:
            networks.reset()
            jobs[label]()
            calls[label] = networks.calls
            if i >= 0:  # the first round warms up
                seconds[label].append(sampling.cpu_s)
    per_call = {label: [one / calls[label] for one in taken] for label, taken in seconds.items()}
    return {
        label: {
            "step_ms": summary([one / steps for one in seconds[label]], 1e3),
            "calls_per_step": significant(calls[label] / steps, 3),
            "per_step/euler": ratio(seconds[label], seconds["Euler"]),
            "per_call/euler": ratio(per_call[label], per_call["Euler"]),
        }
        for label in labels
    }


class Sampling:
    """Remember the CPU seconds of the latest sampling, from the first level to the last latent."""

    def __init__(self, generate: Any) -> None:
        self.cpu_s = 0.0
        sample = generate.sample

        def timed(*args: Any) -> Any:
            begun = time.thread_time()
            found = sample(*args)
            self.cpu_s = time.thread_time() - begun
            return found

        generate.sample = timed


def _job(house: Any, label: str, steps: int) -> Callable[[], object]:
    """Return a job for a sampler, on this thread, that keeps no file."""
    from modules.domain.request import Generation, OutputSpec, SamplingSpec, SeedSpec, Size
    from modules.hooks.context import JobContext

    request = Generation(
        prompt=PROMPT.format("red", "blue"),
        size=Size(width=SIDE_PX, height=SIDE_PX),
        seed=SeedSpec(seed=1),
        sampling=SamplingSpec(sampler=label, steps=steps),
        output=OutputSpec(save_images=False),
    )
    ctx = JobContext(job_id="job", settings=house.settings.snapshot(), emit=lambda event: None)
    return lambda: house.run(request, ctx)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of the samplers")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--samplers", nargs="*", metavar="LABEL", help="all without any; Euler is always measured")
    parser.add_argument("--port", type=int, default=PORT)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    one_thread()
    from modules.sampling.catalogue import SAMPLERS

    known = [sampler.label for sampler in SAMPLERS]
    if unknown := set(asked.samplers or ()) - set(known):
        parser.error(f"no sampler {', '.join(sorted(unknown))}")
    labels = [label for label in known if not asked.samplers or label in (*asked.samplers, "Euler")]
    show(measure(labels, asked.steps, asked.rounds, asked.requests, asked.port))


if __name__ == "__main__":
    main()
