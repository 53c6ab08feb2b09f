"""`webui.py` in a process of its own, and how to talk to it."""

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.cli import ROOT
from modules.families.toy.checkpoint import make_toy_checkpoint

DEAD = "http://127.0.0.1:9"
"""Nothing listens there, so whatever wants the internet fails at once."""
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), DEAD)


class Program:
    """A running program and how to talk to it."""

    def __init__(self, data: Path, *argv: str, environ: Mapping[str, str] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.tls = "--tls-keyfile" in argv
        self.log = data.parent / f"log-{self.port}.txt"
        command = [sys.executable, "webui.py", "--port", str(self.port), "--data-dir", str(data), *argv]
        ours = {
            name: value
            for name, value in os.environ.items()
            if name not in ("COMMANDLINE_ARGS", "NO_PROXY", "no_proxy")
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=ours | NO_NETWORK | dict(environ or {}))

    def ask(self, method: str, path: str, body: object = None, login: str = "") -> tuple[int, bytes]:
        """Send one request."""
        headers = {"content-type": "application/json"} if body is not None else {}
        if login:
            headers["authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        connection = self._connect()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        unchecked = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=unchecked)

    def api(self, path: str, body: object = None, *, login: str = "") -> Any:
        """Ask below /sdapi/v1 and return the answer's JSON, which must be a success."""
        status, raw = self.ask("GET" if body is None else "POST", f"/sdapi/v1{path}", body, login)
        assert status == 200, raw[:2000]
        return json.loads(raw)

    def wait(self, path: str = "/sdapi/v1/samplers", login: str = "") -> float:
        """Ask until there is a good answer, and return how long that took, seconds."""
        began = time.monotonic()
        while time.monotonic() - began < 60:
            assert self.process.poll() is None, self.told()
            try:
                if self.ask("GET", path, login=login)[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.told())

    def told(self) -> str:
        """Return what the program wrote on its console."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def waits_until(self, state: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look at the progress until it is as wanted."""
        for _ in range(1200):
            found = self.api("/progress")
            if state(found):
                return found
            time.sleep(0.02)
        raise AssertionError(self.told())


@contextmanager
def program(data: Path, *argv: str, login: str = "") -> Iterator[Program]:
    """Start the program and wait until it takes requests; end it whatever happens."""
    running = Program(data, *argv)
    try:
        running.wait(login=login)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(10)


def data_folder(parent: Path, *checkpoints: str) -> Path:
    data = parent / "data"
    models = data / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    for seed, name in enumerate(checkpoints):
        make_toy_checkpoint(models / name, seed=seed)
    return data
