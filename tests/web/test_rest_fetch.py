"""Pictures by address: what may be asked, and that nothing inside our network ever is."""

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from modules import cli
from modules.domain.errors import QueueFull
from modules.settings.snapshot import Snapshot
from modules.web.rest import fetch
from modules.web.rest.fetch import Fetcher, is_public
from tests.engine.fakes import png
from tests.web.rest_house import rest_house

PICTURE = png(16, 16, "a cat")
PUBLIC = "93.184.215.14"
SETTINGS = Snapshot()
LOCAL = [
    "http://127.0.0.1:{port}/a.png", "http://localhost:{port}/a.png", "http://127.1:{port}/a.png",
    "http://2130706433:{port}/a.png", "http://0x7f000001:{port}/a.png", "http://0x7f.0.0.1:{port}/a.png",
    "http://0177.0.0.1:{port}/a.png", "http://017700000001:{port}/a.png", "http://0.0.0.0:{port}/a.png",
    "http://0:{port}/a.png", "http://[::1]:{port}/a.png", "http://[::]:{port}/a.png",
    "http://[::ffff:127.0.0.1]:{port}/a.png", "http://[::ffff:7f00:1]:{port}/a.png", "http://[::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://inside.example:{port}/a.png",
    "http://both.example:{port}/a.png", "http://example.com@127.0.0.1:{port}/a.png",
    "http://user:pass@example.com:{port}/", "https://127.0.0.1:{port}/a.png", "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://100.64.0.1/", "http://[fe80::1]/",
    "http://[fc00::1]/", "http://224.0.0.1/", "http://255.255.255.255/", "HTTP://LOCALHOST:{port}/a.png",
    "http://127.0.0.1%00.example.com:{port}/",
]  # fmt: skip
NAMES = {
    "localhost": ["::1", "127.0.0.1"], "inside.example": ["127.0.0.1"], "both.example": [PUBLIC, "127.0.0.1"],
    "example.com": [PUBLIC], "other.example": [PUBLIC],
}  # fmt: skip


def names(host: str, port: int) -> list[str]:
    """Look a name up as a resolver would, without one."""
    if host in NAMES:
        return NAMES[host]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(one[4][0]) for one in found]


class Site:
    """A server on loopback that stands for one of the internet; what it says is chosen by path."""

    def __init__(self, listener: socket.socket, answers: dict[str, bytes]) -> None:
        self.port: int = listener.getsockname()[1]
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._listener, self._answers = listener, answers

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """Connect to this server, whatever the address."""
        self.connected.append((address, port))
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def serve(self) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                carrier, _ = self._listener.accept()
            except OSError:
                return
            with carrier:
                head = carrier.recv(65536).decode("latin-1")
                self.asked.append(head)
                answer = self._answers.get(head.split(" ")[1], b"HTTP/1.1 404 Not Found\r\n\r\n")
                for part in answer.split(b"<pause>"):
                    try:
                        carrier.sendall(part)
                        time.sleep(0.3 if b"<pause>" in answer else 0)
                    except OSError:
                        break


def ok(data: bytes, kind: str = "image/png") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def to(address: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def site(answers: dict[str, bytes]) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Site(listener, answers)
        thread = threading.Thread(target=made.serve, daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def fetcher(made: Site, allowed: Callable[[], bool] = lambda: True) -> Fetcher:
    return Fetcher(allowed, resolve=names, connect=made.connect)


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        call()
    return caught.value.status_code, caught.value.detail


def settings(**changes: Any) -> Snapshot:
    return SETTINGS.with_overrides(changes)


@pytest.mark.parametrize("url", LOCAL)
def test_nothing_of_our_own_network_is_asked(url: str) -> None:
    with site({"/a.png": ok(PICTURE)}) as made:
        status, _ = refusal(lambda: fetcher(made)(url.format(port=made.port), SETTINGS))
        assert status == 403
        assert made.connected == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/b", "//localhost/b", "http://[::1]/b", "http://inside.example/b"])
def test_redirects_are_checked_again(url: str) -> None:
    with site({"/a": to(url), "/b": ok(PICTURE)}) as made:
        answer = refusal(lambda: fetcher(made)("http://example.com/a", SETTINGS))
        assert answer == (403, "Request to local resource not allowed")
        assert len(made.asked) == 1


@pytest.mark.parametrize("url", ["ftp://example.com/b", "file:///etc/passwd", "gopher://example.com/", ""])
def test_redirects_do_not_change_the_protocol(url: str) -> None:
    with site({"/a": to(url)}) as made:
        assert refusal(lambda: fetcher(made)("http://example.com/a", SETTINGS))[0] == 422
        assert len(made.asked) <= 1 + fetch.MAX_REDIRECTS


def test_the_address_that_was_checked_is_asked() -> None:
    with site({"/a": to("http://other.example:81/b?c=d"), "/b?c=d": ok(PICTURE)}) as made:
        assert fetcher(made)("http://example.com/a#part", settings(api_useragent="tester/1")) == PICTURE
        assert made.connected == [(PUBLIC, 80), (PUBLIC, 81)]
        assert "Host: other.example:81" in made.asked[1]
        assert "User-Agent: tester/1" in made.asked[0]
        fetcher(made)("http://example.com/a", SETTINGS)
        assert "User-Agent" not in made.asked[2]


def test_three_redirects_are_enough() -> None:
    answers = {f"/{i}": to(f"http://example.com/{i + 1}") for i in range(4)} | {"/4": ok(PICTURE)}
    with site(answers) as made:
        assert refusal(lambda: fetcher(made)("http://example.com/0", SETTINGS)) == (422, "Invalid image url")
        assert fetcher(made)("http://example.com/1", SETTINGS) == PICTURE


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", ok(b"<html>", "text/html"), ok(b""),
        ok(b"{}", "application/json"), b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nshort",
    ],
)  # fmt: skip
def test_what_is_no_picture(answer: bytes) -> None:
    with site({"/a": answer}) as made:
        assert refusal(lambda: fetcher(made)("http://example.com/a", SETTINGS)) == (422, "Invalid image url")


def test_size_and_time_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 1000)
    monkeypatch.setattr(fetch, "TOTAL_S", 0.5)
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"
    slow = b"<pause>".join(endless[i : i + 1] for i in range(len(endless)))
    with site({"/large": endless + b"x" * 5000, "/slow": slow, "/": ok(b"x" * 1000)}) as made:
        assert len(fetcher(made)("http://example.com/", SETTINGS)) == 1000
        assert refusal(lambda: fetcher(made)("http://example.com/large", SETTINGS))[0] == 422
        began = time.monotonic()
        assert refusal(lambda: fetcher(made)("http://example.com/slow", SETTINGS))[0] == 422
        assert time.monotonic() - began < 3


def test_only_so_many_downloads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_DOWNLOADS", 1)
    entered, go_on = threading.Event(), threading.Event()

    def hold(_host: str, _port: int) -> list[str]:
        entered.set()
        assert go_on.wait(5)
        return []

    busy = Fetcher(lambda: True, resolve=hold)
    first = threading.Thread(target=lambda: refusal(lambda: busy("http://example.com/", SETTINGS)))
    first.start()
    assert entered.wait(5)
    with pytest.raises(QueueFull):
        busy("http://example.com/", SETTINGS)
    go_on.set()
    first.join(5)
    assert refusal(lambda: busy("http://example.com/", SETTINGS))[0] == 422


def test_the_owner_decides() -> None:
    with site({"/a": ok(PICTURE)}) as made:
        off = settings(api_enable_requests=False)
        assert refusal(lambda: fetcher(made)("http://example.com/a", off)) == (403, "Requests not allowed")
        remote = fetcher(made, allowed=lambda: False)
        assert refusal(lambda: remote("http://example.com/a", SETTINGS)) == (403, "Requests not allowed")
        assert made.connected == []
        inside = settings(api_forbid_local_requests=False)
        assert fetcher(made)("http://127.0.0.1/a", inside) == PICTURE


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True), ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True), ("64:ff9b:1::1", False), ("64:ff9b::a00:1", False), ("fec0::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False), ("100.64.0.1", False), ("198.18.0.1", False),
        ("240.0.0.1", False), ("ff02::1", False), ("fe80::1%eth0", False), ("", False), ("example.com", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_every_picture_of_a_request_may_be_an_address(tmp_path: Path) -> None:
    with site({"/a.png": ok(PICTURE), "/b.png": ok(b"GIF89a", "image/gif")}) as made, rest_house(tmp_path) as house:
        house.app.state.services = replace(house.services, fetch_picture=fetcher(made))
        url = "http://example.com/a.png"
        assert house.post("/png-info", {"image": url}).json()["info"] == "a cat"
        sent = {"steps": 2, "width": 64, "height": 64, "init_images": [url], "mask": url}
        assert house.post("/img2img", sent).status_code == 200
        request = house.runner.seen[-1]
        assert request.init is not None
        assert request.mask is not None
        assert request.init.images[0].data == PICTURE
        assert request.mask.image is not None
        assert request.mask.image.data == PICTURE
        broken = house.post("/img2img", {**sent, "mask": "http://example.com/b.png"})
        assert (broken.status_code, "Invalid encoded image" in broken.text) == (422, True)
        assert len(house.runner.seen) == 1


@pytest.mark.parametrize("key", ["api_enable_requests", "api_forbid_local_requests", "api_useragent"])
def test_a_client_cannot_open_the_door(tmp_path: Path, key: str) -> None:
    with rest_house(tmp_path) as house:
        before = house.get("/options").json()
        other = "x" if isinstance(before[key], str) else not before[key]
        assert house.post("/options", {key: other}).status_code == 200
        assert house.get("/options").json() == before
        image = base64.b64encode(PICTURE).decode()
        assert house.post("/png-info", {"image": image}).status_code == 200
        assert house.txt2img(override_settings={key: other}).status_code == 403


def test_on_a_server_for_others_somebody_must_have_said_so(tmp_path: Path) -> None:
    from contextlib import ExitStack

    from modules.app import House

    def may(*argv: str) -> bool:
        config = cli.parse(["--nowebui", "--data-dir", str(tmp_path), *argv], {})
        with ExitStack() as until_exit:
            house = House(config, until_exit)
            house.services.ledger.close()
            return house._may_download()

    assert may()
    assert not may("--listen")
    (tmp_path / "config.json").write_text('{"api_enable_requests": true}')
    assert may("--listen")
