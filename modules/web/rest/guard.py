"""Who may talk to us: host and origin checks, HTTP Basic, and a brake on guessing. Pure functions and small state."""

import base64
import binascii
import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_FAILURES = 10
WINDOW_S = 60.0
_MAX_ADDRESSES = 10_000
_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}|localhost|\[?::1\]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Which pages and host names may reach this server.

    Browsers let any page send requests to a server on the same machine, so a foreign `Origin` is refused, and on a
    loopback address a foreign `Host` too, because a name that points there may belong to anybody.
    """

    only_loopback: bool
    """True when nothing but this machine can reach the server."""
    server_name: str | None = None
    allowed: tuple[str, ...] = ()
    """Origins named on the command line."""
    pattern: str | None = None

    def refuses_host(self, host: str) -> str | None:
        """Return why a `Host` header is refused, or None."""
        if not self.only_loopback:
            return None
        name = _host_name(host)
        known = {self.server_name, *(urlsplit(origin).hostname for origin in self.allowed)}
        if _LOOPBACK.fullmatch(name) or name in known:
            return None
        return "this server answers only to the names of its own machine"

    def refuses_origin(self, origin: str | None, host: str) -> str | None:
        """Return why an `Origin` header is refused, or None."""
        if origin is None or origin in self.allowed:
            return None
        if self.pattern is not None and re.fullmatch(self.pattern, origin):
            return None
        try:
            parts = urlsplit(origin)
            if parts.scheme in ("http", "https") and _plain(parts.netloc, parts.scheme) == _plain(host, parts.scheme):
                return None
        except ValueError:
            pass
        return "requests from pages of other sites are refused (see --cors-allow-origins)"


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.split("]")[0] + "]"
    return host.rsplit(":", 1)[0].lower() if host.count(":") == 1 else host.lower()


def _plain(netloc: str, scheme: str) -> str:
    return netloc.lower().removesuffix(":443" if scheme == "https" else ":80")


class Gate:
    """HTTP Basic for a fixed list of users.

    Args:
        logins: user names and passwords; empty lets everyone in.
        clock: monotonic seconds.
    """

    def __init__(self, logins: Sequence[tuple[str, str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._logins = [(name, _digest(name), _digest(password)) for name, password in logins]
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def open(self) -> bool:
        """True when nobody has to log in."""
        return not self._logins

    def user(self, authorization: str | None) -> str | None:
        """Return the user whose credentials these are, None when they are wrong. Takes the same time for all."""
        name, password = _credentials(authorization)
        name_digest, password_digest = _digest(name), _digest(password)
        found: str | None = None
        for known, known_name, known_password in self._logins:
            same_name = hmac.compare_digest(name_digest, known_name)
            same_password = hmac.compare_digest(password_digest, known_password)
            if same_name & same_password:
                found = known
        return found

    def is_blocked(self, address: str) -> bool:
        """Tell whether an address failed too often during the last minute."""
        with self._lock:
            return len(self._recent(address)) >= MAX_FAILURES

    def failed(self, address: str) -> None:
        """Count a failure of an address."""
        with self._lock:
            times = self._recent(address)
            times.append(self._clock())
            self._failures[address] = times
            self._failures.move_to_end(address)
            while len(self._failures) > _MAX_ADDRESSES:
                self._failures.popitem(last=False)

    def _recent(self, address: str) -> deque[float]:
        times = self._failures.get(address, deque())
        while times and self._clock() - times[0] > WINDOW_S:
            times.popleft()
        return times


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _credentials(authorization: str | None) -> tuple[str, str]:
    """Read a Basic header, or a Bearer token `user:password`; anything else becomes credentials that nobody has."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        name, _, password = encoded.strip().partition(":")
        return name, password
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password
