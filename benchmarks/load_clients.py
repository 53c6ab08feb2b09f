"""Many clients at once, some of which interrupt: order, waiting times, quick answers, the right pictures.

python -m benchmarks.load_clients [--api 8] [--page 2] [--jobs 300] [--interrupts 20]
"""

import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.load_house import Server, Watch, percentile, serving, together
from benchmarks.measure import Result, parser_of, show, significant

SEEDS = 8
GOAL_WAIT, GOAL_PROGRESS_S = 1.3, 0.2


def load(server: Server, *, api: int, page: int, jobs: int, interrupts: int) -> Result:
    """Put clients on the server: some wait for their answers, some queue jobs and come back for the pictures."""
    references = [server.txt2img(seed=seed).json()["images"][0] for seed in range(SEEDS)]
    known = len(server.jobs())
    each = -(-jobs // (api + page))
    over = threading.Event()
    interrupting = threading.Thread(target=_interrupt, args=(server, interrupts, over))
    began = time.perf_counter()
    with Watch(server, "/sdapi/v1/progress?skip_current_image=true") as watch:
        interrupting.start()
        calls = [*([lambda: _waiting_client(server, each)] * api), *([lambda: _page_client(server, each)] * page)]
        answers = [one for client in together(calls) for one in client]
        server.drained()
        over.set()
        interrupting.join()
    took = time.perf_counter() - began
    told = server.jobs()[known:]
    whole = {one["task_id"] for one in told if one["state"] == "finished"}
    wrong = [one for one in answers if one["task"] in whole and one["image"] not in ("", references[one["seed"]])]
    starts = [one["started_at"] for one in told if one["started_at"] is not None]
    waits, ideal = _waits(told)
    found: Result = {
        "jobs": len(answers), "seconds": significant(took),
        "statuses": sorted({one["status"] for one in answers}), "interrupted": len(told) - len(whole),
        "in_order": starts == sorted(starts), "pictures_compared": sum(one["image"] != "" for one in answers),
        "wrong_pictures": len(wrong), "wait_p95_s": percentile(waits, 0.95), "ideal_wait_p95_s": percentile(ideal, 0.95),
        "progress_p99_s": percentile(watch.seconds, 0.99), "progress_statuses": sorted(watch.statuses),
    }  # fmt: skip
    return found | {
        "pass": found["statuses"] in ([200], [202], [200, 202])
        and found["in_order"]
        and not wrong
        and found["wait_p95_s"] <= GOAL_WAIT * found["ideal_wait_p95_s"] + 0.05
        and found["progress_p99_s"] <= GOAL_PROGRESS_S
        and found["progress_statuses"] == [200]
    }


def _waiting_client(server: Server, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(count):
        seed, task = random.randrange(SEEDS), f"load-{random.getrandbits(60):x}"
        answer = server.txt2img(seed=seed, force_task_id=task)
        image = answer.json()["images"][0] if answer.status == 200 and answer.json()["images"] else ""
        found.append({"status": answer.status, "seed": seed, "task": task, "image": image})
    return found


def _page_client(server: Server, count: int) -> list[dict[str, Any]]:
    """Queue jobs a few at a time and leave; the pictures of the last ones are looked at in the end."""
    found: list[dict[str, Any]] = []
    for number in range(count):
        seed, task = random.randrange(SEEDS), f"page-{random.getrandbits(60):x}"
        answer = server.queue(seed=seed, force_task_id=task)
        found.append({"status": answer.status, "seed": seed, "task": task, "image": ""})
        if number % 4 == 3:
            while server.ask("GET", f"/api/v2/jobs/{task}").json()["ended_at"] is None:
                time.sleep(0.02)
    return found


def _interrupt(server: Server, count: int, over: threading.Event) -> None:
    for _ in range(count):
        if over.wait(random.random() * 0.5):
            return
        server.ask("POST", "/sdapi/v1/interrupt", {})


def _waits(told: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Return how long jobs waited, and how long they would have if all took equally long on a worker that never idles."""
    started = [one for one in told if one["started_at"] is not None]
    each = (started[-1]["started_at"] - started[0]["started_at"]) / max(1, len(started) - 1)
    ideal, free = list[float](), 0.0
    for one in started:
        start = max(one["accepted_at"], free)
        free = start + each
        ideal.append(start - one["accepted_at"])
    return [one["started_at"] - one["accepted_at"] for one in started], ideal


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--api", type=int, default=8, help="clients that wait for their answers")
    parser.add_argument("--page", type=int, default=2, help="clients that queue jobs and come back")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--interrupts", type=int, default=20)
    asked = parser.parse_args()
    random.seed(0)
    with serving(settings={"queue_max_jobs_per_client": 100}) as server:
        show(load(server, api=asked.api, page=asked.page, jobs=asked.jobs, interrupts=asked.interrupts))


if __name__ == "__main__":
    main()
