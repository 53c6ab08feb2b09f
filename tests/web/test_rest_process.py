"""The real server in a process of its own: starting, raw sockets, signals."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are those of POSIX")

PROGRAM = """
    import logging, sys, time
    from pathlib import Path
    from modules import cli
    from modules.web.server import create_app, serve

    folder = Path(sys.argv[1])
    config = cli.parse(["--api", "--port", sys.argv[2], "--shutdown-timeout", "10", *sys.argv[3:]], {}, root=folder)
    logging.basicConfig(level="INFO", filename=folder / "log.txt")

    def build():
        time.sleep(0.5)
        from tests.web.rest_house import services_for
        services, runner = services_for(folder, config)
        runner.before_step = lambda step: time.sleep(0.02)
        return services

    app = create_app(config)
    heavy = [name for name in ("torch", "gradio", "transformers", "PIL") if name in sys.modules]
    (folder / "heavy.txt").write_text(repr(heavy))
    sys.exit(serve(app, config, build))
"""


class Running:
    """A server process and how to talk to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            raw = None if body is None else json.dumps(body)
            connection.request(method, path, raw, {"content-type": "application/json"} if raw else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_for(self, path: str, status: int = 200) -> None:
        """Ask until the answer has a status."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if self.ask("GET", path)[0] == status:
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(self.folder.joinpath("log.txt").read_text())

    def start_job(self, steps: int) -> "subprocess.Popen[bytes]":
        """Ask for a picture from another process and wait until its job runs."""
        body = json.dumps({"steps": steps, "width": 64, "height": 64})
        code = (
            "import http.client, sys\n"
            f"c = http.client.HTTPConnection('127.0.0.1', {self.port}, timeout=30)\n"
            f"c.request('POST', '/sdapi/v1/txt2img', {body!r}, {{'content-type': 'application/json'}})\n"
            "a = c.getresponse(); a.read(); print(a.status)\n"
        )
        client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        while json.loads(self.ask("GET", "/sdapi/v1/progress")[1])["state"]["sampling_step"] < 1:
            time.sleep(0.02)
        return client


@contextmanager
def server(folder: Path, *argv: str) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM), str(folder), str(port), *argv]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        running = Running(process, port, folder)
        running.wait_for("/internal/ping")
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_it_listens_before_it_is_ready_and_imports_nothing_heavy(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        assert running.ask("GET", "/sdapi/v1/samplers")[0] == 503
        running.wait_for("/sdapi/v1/samplers")
        assert (tmp_path / "heavy.txt").read_text() == "[]"


def test_ctrl_c_interrupts_the_job_and_ends_within_two_seconds(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        running.wait_for("/sdapi/v1/samplers")
        client = running.start_job(400)
        began = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0
        assert time.monotonic() - began < 2.5
        assert client.communicate(timeout=10)[0].strip() == b"200"
    assert " interrupted after " in (tmp_path / "log.txt").read_text()


def test_sigterm_lets_the_running_job_finish(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        running.wait_for("/sdapi/v1/samplers")
        client = running.start_job(60)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert running.ask("POST", "/sdapi/v1/txt2img", {"steps": 1})[0] == 503
        assert running.process.wait(15) == 0
        assert client.communicate(timeout=10)[0].strip() == b"200"
    assert " finished after " in (tmp_path / "log.txt").read_text()


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        running.wait_for("/sdapi/v1/samplers")
        client = running.start_job(500)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        running.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert running.process.wait(5) != 0
        assert time.monotonic() - began < 1
        client.kill()
        client.communicate()


@pytest.mark.parametrize(("flags", "most_s"), [(("--timeout-keep-alive", "1"), 4.0), ((), None)])
def test_an_idle_connection_is_kept_as_long_as_the_flag_says(
    tmp_path: Path, flags: tuple[str, ...], most_s: float | None
) -> None:
    with server(tmp_path, *flags) as running, socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(b"GET /internal/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        said = b""
        while not said.endswith(b"{}"):
            said += connection.recv(65536)
        assert said.startswith(b"HTTP/1.1 200")
        connection.settimeout(most_s or 2.5)
        if most_s is None:
            with pytest.raises(TimeoutError):
                connection.recv(1)
        else:
            assert connection.recv(1) == b""


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    from fastapi import FastAPI

    from modules import cli
    from modules.domain.errors import WebuiError
    from modules.web.server import serve

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = cli.parse(["--port", str(port)], {}, root=tmp_path)
        with pytest.raises(WebuiError, match=f"127.0.0.1:{port}.*--port"):
            serve(FastAPI(), config, lambda: pytest.fail("nothing is built"))


def test_raw_requests(tmp_path: Path) -> None:
    def send(running: Running, raw: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    head = b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with server(tmp_path) as running:
        running.wait_for("/sdapi/v1/samplers")
        for raw in (
            head + b"Content-Length: x\r\n\r\n{}",
            head + b"Content-Length: 10\r\n\r\n{",
            head + b"Content-Length: 200000000\r\n\r\n{",
            head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
            head + b"X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
            b"GET /internal/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 60_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /internal/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
            b"\x16\x03\x01\x00\x00",
        ):
            answer = send(running, raw)
            assert answer == b"" or re.match(rb"HTTP/1.1 4\d\d ", answer), (raw[:80], answer[:200])
            assert b"Traceback" not in answer
        assert running.ask("GET", "/internal/ping")[0] == 200
