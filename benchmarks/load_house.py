"""The program in a process of its own on a small random checkpoint, and clients that put load on it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import ROOT, significant

SMALL: Mapping[str, Any] = {"width": 64, "height": 64, "steps": 4, "prompt": "a cat"}
START_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request got."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running program."""

    port: int
    process: "subprocess.Popen[bytes]"
    data: Path

    def ask(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, timeout_s: float = 120.0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        try:
            connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(status=answer.status, headers=names, body=found, seconds=time.perf_counter() - began)

    def txt2img(self, **fields: Any) -> Answer:
        """Ask for a small picture over A1111's API."""
        return self.ask("POST", "/sdapi/v1/txt2img", {**SMALL, **fields})

    def queue(self, **fields: Any) -> Answer:
        """Queue a small picture, as the page does: the job goes on without its client."""
        return self.ask("POST", "/api/v2/jobs", {"kind": "txt2img", "save_images": False, **SMALL, **fields})

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, oldest first."""
        found: list[dict[str, Any]] = []
        before = ""
        while True:
            page = self.ask("GET", f"/api/v2/jobs?limit=200{before}").json()
            found += page["jobs"]
            if page["next"] is None:
                return found[::-1]
            before = f"&before={page['next']}"

    def drained(self, timeout_s: float = 600.0) -> bool:
        """Wait until nothing waits or runs."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            queue = self.ask("GET", "/api/v2/queue").json()
            if not queue["waiting"] and not queue["running"]:
                return True
            time.sleep(0.05)
        return False

    def resources(self) -> dict[str, float]:
        """Return what the process holds: memory of its own in KB, open files, threads."""
        process = psutil.Process(self.process.pid)
        with process.oneshot():
            return {
                "rss_kb": process.memory_info().rss / 1024,
                "files": process.num_fds(),
                "threads": process.num_threads(),
            }


@contextmanager
def serving(*flags: str, settings: Mapping[str, Any] | None = None, checkpoint: Path | None = None) -> Iterator[Server]:
    """Run the program without its interface until it is ready to make pictures; kill it in the end.

    Args:
        flags: of the command line.
        settings: written to its file.
        checkpoint: what it works with; a small random one without.
    """
    from modules.families.toy.checkpoint import make_toy_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        models = data / "models" / "Stable-diffusion"
        models.mkdir(parents=True)
        if checkpoint is None:
            make_toy_checkpoint(models / "toy.safetensors", seed=0)
        else:
            flags = (*flags, "--ckpt", str(checkpoint))
        (data / "config.json").write_text(json.dumps(dict(settings or {})), encoding="utf-8")
        port = free_port()
        command = [
            sys.executable,
            "webui.py",
            "--nowebui",
            "--port",
            str(port),
            "--data-dir",
            folder,
            "--use-cpu",
            "all",
        ]
        environ = {**os.environ, "COMMANDLINE_ARGS": "", "OMP_NUM_THREADS": "1"}
        with subprocess.Popen([*command, *flags], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as process:
            try:
                server = Server(port=port, process=process, data=data)
                _wait(server)
                yield server
            finally:
                process.kill()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise SystemExit(f"the program ended with status {server.process.returncode}")
        try:
            if server.ask("GET", "/api/v2/ready").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("the program was not ready within two minutes")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Watch:
    """Asks something again and again beside the load, and keeps how long each answer took."""

    def __init__(self, server: Server, path: str, every_s: float = 0.05) -> None:
        self._server, self._path, self._every_s = server, path, every_s
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._over.wait(self._every_s):
            answer = self._server.ask("GET", self._path)
            self.seconds.append(answer.seconds)
            self.statuses.add(answer.status)


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run calls at once, each on a thread of its own, and return what they gave in their order."""
    found: list[Any] = [None] * len(calls)

    def one(place: int) -> None:
        found[place] = calls[place]()

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all is not above."""
    ordered = sorted(values)
    return significant(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else 0.0


def slope(values: Sequence[float]) -> float:
    """Return by how much values grow from one to the next, by least squares."""
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, sum(values) / count
    above = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return significant(above / sum((place - middle) ** 2 for place in range(count)))
