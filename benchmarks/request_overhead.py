"""Measure what a request costs around the pipeline, and what a PNG costs.

    python -m benchmarks.request_overhead [--requests 20] [--side 1024] [--image FILE]

The program runs in this process without its interface, on a small random checkpoint, and is asked over its REST API.
The CPU time that the job itself took is taken off that of the whole request; the rest is the web server, the checks of
the request, the queue, the answer, and the client that asks. Of the job, what its own clock did not count towards a
stage is the plan, the infotext and the note of the last prompt. Then the job is taken away, and what is left is the
fixed cost of a request. The PNG writer is compared with Pillow's on a picture
with grain, or on yours.
"""

import http.client
import io
import json
import logging
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, in_turns, one_thread, parser_of, ratio, show, significant, summary

PORT = 17862
REQUEST = {"prompt": "a cat", "steps": 4, "width": 64, "height": 64, "seed": 1, "save_images": False}
WARM_UPS = 3
GOALS_MS = {"nothing": 1.5, "png": 80.0, "fixed": 5.0, "fixed_cpu": 1.0}


class Api:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON, return JSON."""
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)


@contextmanager
def serving(data: Path, port: int, *flags: str) -> Iterator[Any]:
    """Run the program here without its interface; gives its house."""
    from modules import cli
    from modules.app import House
    from modules.web import server

    logging.disable(logging.CRITICAL)
    with ExitStack() as until_exit:
        argv = ["--nowebui", "--port", str(port), "--data-dir", str(data), "--use-cpu", "all", *flags]
        config = cli.parse(argv, {}, root=data)
        app = server.create_app(config)
        house = House(config, until_exit)
        house.start()
        server.attach_services(app, house.services)
        running = server.Server(server.uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"), app, 5)
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield house
        finally:
            running.should_exit = True
            thread.join(10)
            house.engine.shutdown(5)


def measure_requests(count: int, port: int) -> Result:
    """Start the program here and ask it."""
    from modules.families.toy.checkpoint import make_toy_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models", "Stable-diffusion")
        models.mkdir(parents=True)
        make_toy_checkpoint(models / "toy.safetensors", seed=0)
        with serving(Path(folder), port) as house:
            api = Api(port)
            return _ask(api, _counting(house), count) | _fixed(api, house, 5 * count)


def _fixed(api: Api, house: Any, count: int) -> Result:
    """Measure a request whose job is there already: everything but the pipeline, and both ends of the connection."""
    kept: list[Any] = []
    run = house.engine._run

    def keep(request: Any, ctx: Any) -> Any:
        kept.append(run(request, ctx).finish())
        return kept[0]

    def txt2img() -> None:
        api("POST", "/sdapi/v1/txt2img", REQUEST)

    house.engine._run = keep
    txt2img()
    house.engine._run = lambda _request, _ctx: kept[0]
    spent = [_spent(txt2img) for _ in range(count)]
    pings = [_spent(lambda: api("GET", "/internal/ping")) for _ in range(count)]
    return {
        "fixed_ms": summary([wall for wall, _ in spent], 1e3) | {"goal": GOALS_MS["fixed"]},
        "fixed_cpu_ms": summary([cpu for _, cpu in spent], 1e3) | {"goal": GOALS_MS["fixed_cpu"]},
        "ping_cpu_ms": summary([cpu for _, cpu in pings], 1e3),
    }


def _counting(house: Any) -> list[tuple[float, float]]:
    """Write down job by job: CPU seconds of all of it, and seconds on the wall that no stage counted."""
    from modules.domain.result import Unfinished

    counted: list[tuple[float, float]] = []
    run = house.engine._run

    def noted(request: Any, ctx: Any) -> Any:
        cpu, wall = time.thread_time(), time.perf_counter()
        made = run(request, ctx)
        used, passed = time.thread_time() - cpu, time.perf_counter() - wall

        def finish() -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            outcome = made.finish()
            whole = passed + time.perf_counter() - wall
            counted.append((used + time.thread_time() - cpu, whole - sum(outcome.timings.values())))
            return outcome

        return Unfinished(finish=finish)

    house.engine._run = noted
    return counted


def _ask(api: Api, counted: list[tuple[float, float]], count: int) -> Result:
    def txt2img() -> None:
        api("POST", "/sdapi/v1/txt2img", REQUEST)

    def nothing() -> None:
        api("GET", "/sdapi/v1/progress?skip_current_image=true")

    for _ in range(WARM_UPS):
        txt2img()
        nothing()
    counted.clear()
    whole = [_spent(txt2img) for _ in range(count)]
    around = [cpu - inside for (_, cpu), (inside, _) in zip(whole, counted, strict=True)]
    idle = [_spent(nothing)[0] for _ in range(10 * count)]
    return {
        "request_that_does_nothing_ms": summary(idle, 1e3) | {"goal": GOALS_MS["nothing"]},
        "txt2img_ms": summary([wall for wall, _ in whole], 1e3),
        "txt2img_cpu_ms": summary([cpu for _, cpu in whole], 1e3),
        "cpu_around_the_job_ms": summary(around, 1e3),
        "job_outside_its_stages_ms": summary([outside for _, outside in counted], 1e3),
    }


def _spent(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def picture(side: int) -> Any:
    """Make a picture that packs about as well as a photograph: smooth shapes, edges and a little grain."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8), "RGB")
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    y, x = np.mgrid[:side, :side]
    edges = 40 * (np.sin(x / 37) + np.sin((x + y) / 53) > 0.6)
    grain = random.normal(0, 2.5, (side, side, 1))
    return Image.fromarray((smooth * 0.8 + edges[..., None] + grain).clip(0, 255).astype(np.uint8), "RGB")


def measure_png(image: Any, rounds: int) -> Result:
    """Encode one picture with both writers."""
    from modules.imaging.encode import encode

    def pillow() -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def own() -> bytes:
        return encode(image, "png", "parameters").data

    seconds = in_turns({"ours": own, "pillow": pillow}, rounds)
    return {
        "side": image.size,
        "ours_ms": summary(seconds["ours"], 1e3) | {"goal": GOALS_MS["png"]},
        "pillow_ms": summary(seconds["pillow"], 1e3),
        "ours/pillow": ratio(seconds["ours"], seconds["pillow"]),
        "size_ours/pillow": significant(len(own()) / len(pillow())),
    }


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--side", type=int, default=1024, help="of the picture for the PNG writers, pixels")
    parser.add_argument("--image", type=Path, help="a picture to take instead")
    parser.add_argument("--rounds", type=int, default=5, help="of the PNG writers")
    parser.add_argument("--port", type=int, default=PORT)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    one_thread()
    from PIL import Image

    image = Image.open(asked.image).convert("RGB") if asked.image else picture(asked.side)
    result = measure_requests(asked.requests, asked.port)
    show(result | {"png": measure_png(image, asked.rounds)})


if __name__ == "__main__":
    main()
