"""Fill the queue and send more: what is too much is refused with a time to come back, the rest runs in order.

python -m benchmarks.load_full [--room 100] [--more 50]
"""

from benchmarks.load_house import Server, serving
from benchmarks.measure import Result, parser_of, show, significant


def overfill(server: Server, room: int, more: int) -> Result:
    """Send more jobs than the queue holds while it is paused, then let them run."""
    known = len(server.jobs())
    server.ask("POST", "/api/v2/queue/pause", {})
    before = server.resources()["rss_kb"]
    answers = [server.queue(seed=number, steps=1) for number in range(room + more)]
    refused = [answer for answer in answers if answer.status == 429]
    server.ask("POST", "/api/v2/queue/resume", {})
    drained = server.drained()
    told = server.jobs()[known:]
    starts = [one["started_at"] for one in told]
    found: Result = {
        "accepted": sum(answer.status == 202 for answer in answers), "refused": len(refused),
        "with_retry_after": sum(answer.headers.get("retry-after", "").isdecimal() for answer in refused),
        "finished": sum(one["state"] == "finished" for one in told),
        "in_order": None not in starts and starts == sorted(starts),
        "rss_growth_mb": significant((server.resources()["rss_kb"] - before) / 1024),
    }  # fmt: skip
    return found | {
        "pass": drained
        and found["accepted"] == found["finished"] == room
        and found["refused"] == found["with_retry_after"] == more
        and found["in_order"]
    }


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--room", type=int, default=100)
    parser.add_argument("--more", type=int, default=50)
    asked = parser.parse_args()
    with serving(settings={"queue_max_jobs": asked.room, "queue_max_jobs_per_client": 100_000}) as server:
        server.txt2img()
        show(overfill(server, asked.room, asked.more))


if __name__ == "__main__":
    main()
