"""One txt2img after another: memory, open files and threads stay as they are.

python -m benchmarks.load_soak [--jobs 300] [--warm-up 50]
"""

import statistics
from collections.abc import Sequence

from benchmarks.load_house import Server, serving, slope
from benchmarks.measure import Result, parser_of, show, significant

GOAL_SLOPE_KB, GOAL_GROWTH_KB = 20.0, 30 * 1024
SLACK = 1
"""Files and threads that may be more at the end: a connection is just being closed."""


def soak(server: Server, jobs: int, warm_up: int) -> Result:
    """Run jobs one after another and look at the process after each."""
    seen: list[dict[str, float]] = []
    statuses: set[int] = set()
    for number in range(jobs):
        statuses.add(server.txt2img(seed=number).status)
        seen.append(server.resources())
    after = seen[warm_up:] or seen
    rss = [one["rss_kb"] for one in after]
    held = {name: _before_and_after([one[name] for one in after]) for name in ("files", "threads")}
    found: Result = {
        "jobs": jobs,
        "statuses": sorted(statuses),
        "rss_slope_kb_per_job": slope(rss),
        "rss_growth_kb": significant(rss[-1] - rss[0]),
        "rss_mb": significant(rss[-1] / 1024),
        **held,
    }
    return found | {
        "pass": found["statuses"] == [200]
        and found["rss_slope_kb_per_job"] <= GOAL_SLOPE_KB
        and found["rss_growth_kb"] <= GOAL_GROWTH_KB
        and all(last <= first + SLACK for first, last in held.values())
    }


def _before_and_after(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and of the last ten."""
    return statistics.median(values[:10]), statistics.median(values[-10:])


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=50, help="jobs that are not looked at")
    asked = parser.parse_args()
    with serving() as server:
        show(soak(server, asked.jobs, asked.warm_up))


if __name__ == "__main__":
    main()
