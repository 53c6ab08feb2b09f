"""Time two implementations side by side on a machine that other programs use too.

They run in one process, one thread, in turns, so that whatever disturbs one disturbs the other. Time is the CPU time of
the thread: it leaves out the moments in which another program had the core. Ratios are taken inside each round, and the
median over the rounds is told beside the extremes.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Result = dict[str, Any]


def thread_s(call: Callable[[], object]) -> float:
    """CPU seconds of this thread for one call."""
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int, *, warm_ups: int = 1) -> dict[str, list[float]]:
    """Run everything once per round, each round starting with another one; returns seconds by name."""
    names = list(calls)
    for _ in range(warm_ups):
        for name in names:
            calls[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        start = i % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(thread_s(calls[name]))
    return seconds


def summary(values: Sequence[float], factor: float = 1.0) -> Result:
    """Smallest, median and largest value, each times a factor."""
    found = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: significant(value * factor) for name, value in found.items()}


def ratio(ours: Sequence[float], peer: Sequence[float]) -> Result:
    """What we need for what the peer needs 1 for; below 1 is faster."""
    return summary([a / b for a, b in zip(ours, peer, strict=True)]) | {"of_minima": significant(min(ours) / min(peer))}


def significant(value: float, digits: int = 4) -> float:
    """Round to significant digits."""
    return float(f"{value:.{digits}g}")


def peak_rss_mb() -> float:
    """Most memory this process ever had in use, mapped files included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return significant(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def anonymous_mb() -> float:
    """Memory this process has of its own now, without mapped files; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return significant(int(lines["RssAnon"].split()[0]) * 1024 / 1e6)


def one_thread() -> None:
    """Keep torch on the thread that is being timed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Make the command line of a benchmark from its docstring."""
    return argparse.ArgumentParser(description=(doc or "").splitlines()[0])


def show(result: Result) -> None:
    """Print a result as JSON."""
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")
