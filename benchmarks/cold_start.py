"""Measure how long a start takes: process start to first answer, and the CPU time spent until then.

    python benchmarks/cold_start.py [--runs 3] [--port 17861]

Beside it, in the same run, the cost of importing what a program of the usual build imports first. Prints JSON; times
are in seconds, the best of the runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("torch", "torch, gradio", "torch, gradio, diffusers")


def cpu_s(process: psutil.Process) -> float:
    """CPU time of a process and its children so far."""
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def answers(url: str) -> bool:
    """Whether the server answers at all; any status counts."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def start_once(port: int) -> dict[str, float]:
    """Start the program without its interface, wait for the first answer, and stop it."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "webui.py", "--nowebui", "--port", str(port), "--data-dir", data]
        begun = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                while not answers(f"http://127.0.0.1:{port}/internal/ping"):
                    if server.poll() is not None:
                        raise SystemExit(f"{' '.join(command)} ended with status {server.returncode}")
                    if time.monotonic() - begun > 120:
                        raise SystemExit("no answer within two minutes")
                    time.sleep(0.01)
                wall_s, used_s = time.monotonic() - begun, cpu_s(psutil.Process(server.pid))
                stopping = time.monotonic()
                server.terminate()
                server.wait(60)
                stop_s = time.monotonic() - stopping
            finally:
                server.kill()
    return {"first_answer_s": wall_s, "cpu_s": used_s, "stop_s": stop_s}


def import_once(names: str) -> dict[str, float]:
    """Import packages in a fresh process."""
    begun = time.monotonic()
    code = f"import {names}, resource as r; u = r.getrusage(r.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        return {}
    return {"wall_s": time.monotonic() - begun, "cpu_s": float(ended.stdout.split()[-1])}


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The smallest value of each measure."""
    return {name: round(min(run[name] for run in runs), 3) for name in runs[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--port", type=int, default=17861)
    asked = parser.parse_args()
    result: dict[str, object] = {"webui": best([start_once(asked.port) for _ in range(asked.runs)])}
    for names in PEERS:
        result[f"import {names}"] = best([import_once(names) for _ in range(asked.runs)])
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
