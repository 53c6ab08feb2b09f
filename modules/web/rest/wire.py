"""The outermost layers of every request: time, compression, admission, body. Plain ASGI, no framework."""

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.domain.errors import WebuiError
from modules.web.rest.errors import RETRY_AFTER_S, answer, render, shape
from modules.web.rest.guard import Gate, Origins
from modules.web.rest.strict_json import loads

logger = logging.getLogger(__name__)

JSON_KEY = "webui.json"
"""Where a parsed body lies in the ASGI scope."""
USER_KEY = "webui.user"
PING = "/internal/ping"
ALWAYS = (PING, "/api/v2/health")
"""Paths that answer while the program is still starting."""

API_PATHS = ("/sdapi/", "/v1/", "/api/", "/metrics")
"""Beginnings of the paths that make up the API."""
_JSON_PATHS = ("/sdapi/", "/v1/", "/api/", "/internal/")
_FORM_PATHS = ("/v1/images/edits",)
"""Paths below those whose body is a form."""
MAX_HEADER_BYTES = 16 << 10
"""All headers of a request together; also the longest address."""
_IDLE_S, _TOTAL_S = 15.0, 120.0
_SMALL_BYTES = 64 << 10
"""Up to this size work is done at once; above it in a thread, so that the event loop stays free."""
_MIN_GZIP_BYTES = 1000
_PACKED_TYPES = ("application/json", "text/html", "text/plain", "text/css", "text/javascript")


def route_path(scope: Scope) -> str:
    """Return the path below the prefix that a reverse proxy puts before it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


class Subpath:
    """Serves everything below a prefix, whether or not a reverse proxy in front has cut it off already."""

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app, self._prefix = app, "/" + prefix.strip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"]
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                path = self._prefix + path
            scope = {**scope, "path": path, "root_path": self._prefix}
        await self._app(scope, receive, send)


class Clock:
    """Adds `X-Process-Time` to every answer, and writes one log line per API request when asked to."""

    def __init__(self, app: ASGIApp, *, log_api: bool = False) -> None:
        self._app, self._log_api = app, log_api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken = time.perf_counter() - began
                MutableHeaders(scope=message)["X-Process-Time"] = f"{taken:.4f}"
                if self._log_api and route_path(scope).startswith(API_PATHS):
                    client = (scope.get("client") or ("?", 0))[0]
                    logger.info(
                        "%s HTTP/%s %s %r from %s in %.4f s", message["status"], scope.get("http_version", "?"),
                        scope["method"], scope["path"], client, taken,
                    )  # fmt: skip
            await send(message)

        await self._app(scope, receive, timed)


class OneRange:
    """Ignores the wish for several parts of a file at once, which costs more than it helps; one part is fine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "," in Headers(scope=scope).get("range", ""):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        await self._app(scope, receive, send)


class Squeeze:
    """Compresses complete answers of a thousand bytes and more; streams and files pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def squeezed(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_packable(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                body = message.get("body", b"")
                if not message.get("more_body") and len(body) >= _MIN_GZIP_BYTES:
                    packed = await _in_thread_if_large(len(body), gzip.compress, body, 1)
                    headers = MutableHeaders(scope=start)
                    headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(packed))
                    headers.add_vary_header("Accept-Encoding")
                    message = {**message, "body": packed}
                await send(start)
            await send(message)

        await self._app(scope, receive, squeezed)


def _is_packable(message: Message) -> bool:
    headers = Headers(raw=message.get("headers", []))
    kind = headers.get("content-type", "").partition(";")[0]
    return kind in _PACKED_TYPES and "content-encoding" not in headers


class Admission:
    """Refuses foreign pages and hosts, asks for credentials, and answers while the program is starting.

    Args:
        app: what comes next.
        origins: who may ask.
        gate: who may come in.
        is_ready: tells whether the services are there yet.
        guarded: beginnings of the paths that need credentials; the page's own login guards the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Origins,
        gate: Gate,
        is_ready: Callable[[], bool],
        guarded: tuple[str, ...] = ("/",),
    ) -> None:
        self._app, self._origins, self._gate, self._is_ready = app, origins, gate, is_ready
        self._guarded = guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
            return render(HTTPException(431, "the headers of the request are too long"))
        if len(scope["path"]) + len(scope.get("query_string", b"")) > MAX_HEADER_BYTES:
            return render(HTTPException(414, "the address of the request is too long"))
        host = headers.get("host", "")
        reason = self._origins.refuses_host(host) or self._origins.refuses_origin(headers.get("origin"), host)
        if reason is not None:
            return render(HTTPException(403, reason))
        if not self._gate.open and route_path(scope).startswith(self._guarded):
            refusal = self._check_login(scope, headers)
            if refusal is not None:
                return refusal
        if not self._is_ready() and route_path(scope) not in ALWAYS:
            return starting(headers.get("accept", ""))
        return None

    def _check_login(self, scope: Scope, headers: Headers) -> Response | None:
        address = (scope.get("client") or ("", 0))[0]
        if self._gate.is_blocked(address):
            body = shape("HTTPException", detail="too many failed logins; wait a minute")
            return answer(body, 429, {"Retry-After": "60"})
        given = headers.get("authorization")
        user = self._gate.user(given)
        if user is None:
            if given is not None:
                self._gate.failed(address)
            body = shape("HTTPException", detail="Incorrect username or password")
            return answer(body, 401, {"WWW-Authenticate": 'Basic realm="webui", charset="UTF-8"'})
        scope[USER_KEY] = user
        return None


def starting(accept: str) -> Response:
    """Answer that the program is still starting; a browser asks again by itself."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    if "text/html" in accept:
        page = '<!doctype html><meta http-equiv="refresh" content="1"><title>Starting</title><p>The web UI is starting.'
        return HTMLResponse(page, 503, headers)
    return answer(shape("HTTPException", detail="the server is starting; try again in a moment"), 503, headers)


class Body:
    """Limits bodies before they are read, and parses those of the API strictly.

    Args:
        app: what comes next; finds the parsed body in the scope under `JSON_KEY`.
        max_bytes: returns the longest body accepted now.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: Callable[[], int]) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), self._max_bytes()
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        if not route_path(scope).startswith(_JSON_PATHS):
            await self._pass_on(scope, receive, send, limit)
            return
        try:
            body = await _read(receive, limit)
            if body and not route_path(scope).startswith(_FORM_PATHS):
                _check_media_type(headers)
                scope[JSON_KEY] = await _in_thread_if_large(len(body), loads, body)
        except (WebuiError, HTTPException) as error:
            await render(error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """Count the bytes of a body that another part reads, and cut it off at the limit."""
        seen, answered = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except BodyTooLarge:
            if answered:
                raise
            await _too_large(limit)(scope, receive, send)


class BodyTooLarge(Exception):
    """The body went over the limit while it was being read."""


def _too_large(limit: int) -> Response:
    text = f"the body is over the limit of {limit >> 20} MB (setting api_max_body_mb)"
    return answer(shape("LimitExceeded", detail=text), 413, {"Connection": "close"})


def _check_media_type(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HTTPException(415, "send the body as application/json")


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size, deadline = 0, time.monotonic() + _TOTAL_S
    while True:
        try:
            message = await asyncio.wait_for(receive(), min(_IDLE_S, deadline - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time") from None
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the connection was closed before the body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise HTTPException(413, f"the body is over the limit of {limit >> 20} MB (setting api_max_body_mb)")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once more to whoever asks first, then what really comes, such as a disconnect."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _in_thread_if_large(size: int, call: Callable[..., Any], *args: Any) -> Any:
    if size <= _SMALL_BYTES:
        return call(*args)
    return await asyncio.to_thread(call, *args)
