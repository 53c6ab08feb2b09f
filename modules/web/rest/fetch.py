"""Download a picture that a request names by its address, without letting the request look into our network.

Names are resolved once, every address found must belong to the public internet, and the connection goes to an address
that was checked. Redirects start over. Proxies of the environment are not used: they would resolve names anew.
"""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from starlette.exceptions import HTTPException

from modules.domain.errors import QueueFull
from modules.settings.snapshot import Snapshot

MAX_BYTES = 32 << 20
TOTAL_S = 10.0
MAX_REDIRECTS = 3
MAX_DOWNLOADS = 8
"""At once, in the whole program; each holds a thread that other requests need."""

Resolve = Callable[[str, int], Sequence[str]]
"""(host name, port) -> its addresses as text."""
Connect = Callable[[str, int, float], socket.socket]
"""(address, port, timeout in seconds) -> a connected socket."""

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("::/96", "64:ff9b:1::/48", "2001::/32", "fec0::/10")))
"""Old and local forms of IPv6 that lead into somebody's own network; not every Python counts them as such."""
_PLAIN = re.compile(r"[!-~]+")
"""Addresses are written in visible ASCII; anything else is read differently by different programs."""


def resolve(host: str, port: int) -> list[str]:
    """Look a name up."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(address: str, port: int, timeout_s: float) -> socket.socket:
    """Open a connection."""
    return socket.create_connection((address, port), timeout_s)


def is_public(address: str) -> bool:
    """Tell whether an address, and every other address that is written inside it, is one of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast
    if any(found in network for network in _NOT_PUBLIC):
        return False
    inside = found.ipv4_mapped or found.sixtofour
    if found in _NAT64:
        inside = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return is_public(str(inside)) if inside is not None else found.is_global and not found.is_multicast


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where one request goes."""

    parts: SplitResult
    host: str
    port: int
    address: str

    @property
    def path(self) -> str:
        """What is asked for there."""
        return (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")


class Fetcher:
    """Downloads pictures by address.

    Args:
        allowed: tells whether the owner of this machine lets requests name addresses.
        resolve: looks names up.
        connect: opens connections.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        allowed: Callable[[], bool],
        *,
        resolve: Resolve = resolve,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed, self._resolve, self._connect, self._clock = allowed, resolve, connect, clock
        self._places = threading.BoundedSemaphore(MAX_DOWNLOADS)

    def __call__(self, url: str, settings: Snapshot) -> bytes:
        """Return the bytes behind an address. Waits; at most ten seconds.

        Raises:
            HTTPException: 403 when requests may not name this address, 422 when there is no picture.
            QueueFull: too many downloads run already.
        """
        if not (self._allowed() and settings.api.api_enable_requests):
            raise HTTPException(403, "Requests not allowed")
        if not self._places.acquire(blocking=False):
            raise QueueFull(f"{MAX_DOWNLOADS} pictures are being downloaded already; try again later")
        try:
            return self._follow(url, settings)
        except (OSError, http.client.HTTPException, ValueError):
            raise _invalid() from None
        finally:
            self._places.release()

    def _follow(self, url: str, settings: Snapshot) -> bytes:
        until = self._clock() + TOTAL_S
        for _ in range(MAX_REDIRECTS + 1):
            target = self._target(url, only_public=settings.api.api_forbid_local_requests)
            found = self._ask(target, settings.api.api_useragent, until)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise _invalid()

    def _target(self, url: str, *, only_public: bool) -> _Target:
        if not _PLAIN.fullmatch(url) or "\\" in url:
            raise _invalid()
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise _invalid()
        if "@" in parts.netloc or "%" in parts.netloc:
            raise _local()
        port = parts.port or _PORTS[parts.scheme]
        addresses = self._resolve(parts.hostname, port)
        if not addresses:
            raise _invalid()
        if only_public and not all(is_public(one) for one in addresses):
            raise _local()
        return _Target(parts=parts, host=parts.hostname, port=port, address=addresses[0])

    def _ask(self, target: _Target, agent: str, until: float) -> bytes | str:
        """Send one request; return the picture's bytes, or the address that the answer points to."""
        carrier = self._connect(target.address, target.port, self._left(until))
        # A timeout of a socket counts from the last byte, so a server that drips would never meet it.
        alarm = threading.Timer(self._left(until), lambda: _cut(carrier))
        alarm.daemon = True
        alarm.start()
        connection = http.client.HTTPConnection(target.host, target.port)
        try:
            carrier.settimeout(self._left(until))
            if target.parts.scheme == "https":
                carrier = ssl.create_default_context().wrap_socket(carrier, server_hostname=target.host)
            connection.sock = carrier
            headers = {"Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target.path, headers=headers | ({"User-Agent": agent} if agent else {}))
            with connection.getresponse() as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    return answer.headers.get("Location") or ""
                data = _read(answer)
            self._left(until)
            return data
        finally:
            alarm.cancel()
            connection.close()
            carrier.close()

    def _left(self, until: float) -> float:
        left = until - self._clock()
        if left <= 0:
            raise TimeoutError("the picture did not arrive in time")
        return left


def _read(answer: http.client.HTTPResponse) -> bytes:
    kind = answer.headers.get_content_type()
    if answer.status != 200 or not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise _invalid()
    data = answer.read(MAX_BYTES + 1)
    if not data or len(data) > MAX_BYTES or answer.length:  # a length that is left over: too large, or cut off
        raise _invalid()
    return data


def _cut(carrier: socket.socket) -> None:
    with contextlib.suppress(OSError):
        carrier.shutdown(socket.SHUT_RDWR)


def _invalid() -> HTTPException:
    return HTTPException(422, "Invalid image url")


def _local() -> HTTPException:
    return HTTPException(403, "Request to local resource not allowed")
