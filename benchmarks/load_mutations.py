"""Send valid requests with something changed at random: never an error of the server, never a long wait.

python -m benchmarks.load_mutations [--count 2000] [--seed 0]
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.load_house import SMALL, Server, serving
from benchmarks.measure import Result, parser_of, show, significant

GOAL_S, ALIVE_EVERY = 5.0, 25
_TINY = {**SMALL, "steps": 1}
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7.5, 2**31, 2**63, 10**30, 1e308, "", " ", "x", "é" * 50, "(" * 2000, "<a:" * 500,
    "[a|b]" * 50, "../../etc/passwd", "\u0000", "<script>", "{{7*7}}", [], {}, [None], [[]], {"a": {"b": []}},
    ["x"] * 300, "0x10", "1e400", "data:image/png;base64,", "http://127.0.0.1:9/", -0.0, "NaN", "\u202e",
)  # fmt: skip
"""Values that stand in for any other. None asks for a picture that takes long."""
BODIES: Mapping[str, Mapping[str, Any]] = {
    "/sdapi/v1/txt2img": {
        **_TINY, "negative_prompt": "dog", "styles": [], "seed": 1, "subseed": 2, "subseed_strength": 0.0,
        "sampler_name": "Euler a", "scheduler": "Automatic", "batch_size": 1, "n_iter": 1, "cfg_scale": 7,
        "override_settings": {"CLIP_stop_at_last_layers": 2}, "enable_hr": False, "hr_scale": 2, "tiling": False,
        "script_name": "", "script_args": [], "alwayson_scripts": {}, "eta": 1.0, "denoising_strength": 0.5,
    },
    "/sdapi/v1/img2img": {**_TINY, "init_images": [""], "mask": None, "mask_blur": 4, "inpainting_fill": 1,
                          "inpaint_full_res": False, "resize_mode": 0, "denoising_strength": 0.5},
    "/api/v2/jobs": {"kind": "txt2img", **_TINY, "save_images": False, "seed": 1, "force_task_id": "mine"},
    "/v1/images/generations": {"prompt": "a cat", "n": 1, "size": "64x64", "response_format": "b64_json", "steps": 1},
    "/sdapi/v1/options": {"CLIP_stop_at_last_layers": 1, "jpeg_quality": 80},
    "/sdapi/v1/png-info": {"image": ""},
    "/internal/progress": {"id_task": "mine", "id_live_preview": -1, "live_preview": True},
}  # fmt: skip
"""Valid requests by path."""

Mutation = Callable[[random.Random, dict[str, Any]], dict[str, Any]]


def _replace(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, chance.choice(list(body)): chance.choice(NASTY)}


def _drop(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    gone = chance.choice(list(body))
    # Without a size or a number of steps the defaults would make a large picture, which takes long for a good reason.
    return {name: value for name, value in body.items() if name != gone or name in ("width", "height", "steps", "size")}


def _swap(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    one, other = chance.choice(list(body)), chance.choice([name for name in body if name not in ("n_iter", "n")])
    return {**body, one: body[other]}


def _add(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, f"{chance.choice('abc')}{chance.getrandbits(20)}": chance.choice(NASTY)}


def _twice(chance: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    return _replace(chance, _replace(chance, body))


MUTATIONS: tuple[Mutation, ...] = (_replace, _replace, _twice, _drop, _swap, _add)


def mutated(chance: random.Random) -> tuple[str, bytes]:
    """Make a path and a body."""
    path = chance.choice(list(BODIES))
    body = chance.choice(MUTATIONS)(chance, dict(BODIES[path]))
    raw = json.dumps(body).encode()
    if chance.random() < 0.1:
        raw = raw[: chance.randrange(len(raw))]
    elif chance.random() < 0.1:
        place = chance.randrange(len(raw))
        raw = raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1 :]
    return path, raw


def mutate(server: Server, count: int, seed: int) -> Result:
    """Send mutated requests one after another."""
    chance, statuses = random.Random(seed), Counter[int]()
    slowest, faults, alive = 0.0, list[str](), 0
    for number in range(count):
        path, raw = mutated(chance)
        answer = server.ask("POST", path, raw=raw)
        statuses[answer.status] += 1
        slowest = max(slowest, answer.seconds)
        if answer.status >= 500 and answer.status != 501:
            faults.append(f"{path} {raw[:300]!r} -> {answer.status} {answer.body[:200]!r}")
        if number % ALIVE_EVERY == 0:
            alive += server.ask("GET", "/internal/ping").status == 200
    server.drained()
    last = server.txt2img(seed=1)
    return {
        "requests": count, "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "slowest_s": significant(slowest), "faults": faults[:20], "works_afterwards": last.status == 200,
        "pass": not faults and slowest <= GOAL_S and alive == -(-count // ALIVE_EVERY) and last.status == 200,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with serving() as server:
        show(mutate(server, asked.count, asked.seed))


if __name__ == "__main__":
    main()
