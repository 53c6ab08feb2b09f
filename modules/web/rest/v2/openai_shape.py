"""Errors below `/v1/images` and `/v1/models` in the shape that clients of OpenAI's API read, wherever they arise."""

import json
from typing import Any, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/v1/images/", "/v1/models")
_STATUS = {422: 400, 415: 400, 501: 400}
"""Bad requests are 400 there."""
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 413: "request_too_large"}


class OpenAiErrors:
    """Rewrites the errors of everything further in.

    Args:
        app: what comes next.
        below: removes the prefix of a reverse proxy from a path.
    """

    def __init__(self, app: ASGIApp, *, below: Any) -> None:
        self._app, self._below = app, below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not self._below(scope).startswith(PATHS):
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        chunks: list[bytes] = []

        async def rewriting(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_error(message):
                held = message
            elif held is None:
                await send(message)
            else:
                chunks.append(message.get("body", b""))
                if not message.get("more_body"):
                    await _send_error(held, b"".join(chunks), send)

        await self._app(scope, receive, rewriting)


def _is_error(start: Message) -> bool:
    kind = Headers(raw=start.get("headers", [])).get("content-type", "")
    return start["status"] >= 400 and kind.startswith("application/json")


async def _send_error(start: Message, body: bytes, send: Send) -> None:
    status: int = _STATUS.get(start["status"]) or start["status"]
    raw = json.dumps(error_shape(status, json.loads(body)), ensure_ascii=False).encode("utf-8", "replace")
    start = {**start, "status": status}
    MutableHeaders(scope=start)["Content-Length"] = str(len(raw))
    await send(start)
    await send({"type": "http.response.body", "body": raw})


def error_shape(status: int, told: Any) -> dict[str, Any]:
    """Turn our body of an error into OpenAI's.

    Args:
        status: of the answer.
        told: A1111's `error` and `detail`, or pydantic's list of wrong fields under `detail`.
    """
    given = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    detail, param = given.get("detail", ""), None
    if isinstance(detail, list) and detail:
        first = cast("dict[str, Any]", detail[0])
        param = ".".join(str(part) for part in first["loc"] if part != "body") or None
        named = param is not None and not str(first["msg"]).startswith(f"{param}: ")
        detail = f"{param}: {first['msg']}" if named else first["msg"]
    error = {
        "message": str(detail or given.get("errors") or given.get("error") or "unknown error"),
        "type": "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error",
        "param": param,
        "code": given.get("code") or _CODES.get(status),
    }
    return {"error": error}
