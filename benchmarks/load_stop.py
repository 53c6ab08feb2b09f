"""Stop the program while one job runs and others wait: the running one ends well, the others are told, nothing stays.

python -m benchmarks.load_stop [--waiting 5]
"""

import signal
import threading
import time
from typing import Any

import psutil

from benchmarks.load_house import Server, serving
from benchmarks.measure import Result, parser_of, show, significant

GOAL_END_S, GOAL_SECOND_S = 30.0, 2.0
_LONG = {"steps": 150, "n_iter": 2}


def stopped(server: Server, waiting: int, *, second: bool = False) -> Result:
    """Send SIGTERM, and once more half a second later if asked to; tell what came of the jobs and the process."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(server.txt2img(**_LONG).status)
        except OSError as error:
            answers.append(type(error).__name__)

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(1 + waiting)]
    for client in clients:
        client.start()
    _until_running(server, waiting)
    children = psutil.Process(server.process.pid).children(recursive=True)
    began = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    if second:
        time.sleep(0.5)
        began = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(60)
    took = time.perf_counter() - began
    for client in clients:
        client.join(10)
    return {
        "status": status, "seconds": significant(took), "answers": sorted(map(str, answers)),
        "children_left": sum(child.is_running() for child in children),
    }  # fmt: skip


def _until_running(server: Server, waiting: int) -> None:
    for _ in range(2000):
        queue = server.ask("GET", "/api/v2/queue").json()
        if queue["running"] and queue["waiting"] == waiting:
            return
        time.sleep(0.01)
    raise SystemExit("the jobs did not get into the queue")


def measure(waiting: int) -> Result:
    """Stop two programs, one patiently and one not."""
    with serving() as server:
        gentle = stopped(server, waiting)
    with serving() as server:
        hard = stopped(server, waiting, second=True)
    well = gentle["answers"] == sorted(["200", *["503"] * waiting]) and gentle["status"] == 0
    return {
        "sigterm": gentle, "second_signal": hard,
        "pass": well and gentle["seconds"] <= GOAL_END_S and not gentle["children_left"]
        and hard["seconds"] <= GOAL_SECOND_S,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--waiting", type=int, default=5)
    show(measure(parser.parse_args().waiting))


if __name__ == "__main__":
    main()
