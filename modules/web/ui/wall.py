"""Logins of the page (`--gradio-auth`) for everything that gradio does not guard itself."""

from collections.abc import Sequence

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.cli import Login
from modules.web.rest.errors import answer, shape
from modules.web.rest.guard import Gate
from modules.web.rest.wire import ALWAYS, USER_KEY, route_path
from modules.web.ui.page import Identify

GUARDED = (
    "/internal/",
    "/sd_extra_networks/",
    "/sdapi/",
    "/v1/",
    "/api/",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
)
OPEN = (*ALWAYS, "/internal/ui/assets/", "/internal/ui/user.css")
LOGIN = "/login"
"""Gradio's address that takes the form of its login page."""


class Wall:
    """Lets through whoever has logged in on the page, or sends the same login as HTTP Basic.

    Args:
        app: what comes next.
        logins: user names and passwords; empty lets everyone through.
        identify: returns the user whose cookie a request carries.
    """

    def __init__(self, app: ASGIApp, *, logins: Sequence[Login], identify: Identify) -> None:
        self._app, self._gate, self._identify = app, Gate(logins), identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in ("http", "websocket") or self._gate.open or USER_KEY in scope:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        path, address = route_path(scope), (scope.get("client") or ("", 0))[0]
        refusal = self._refusal(connection, path, address, scope)
        if refusal is None:
            await self._app(scope, receive, self._counting(path, address, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, connection: HTTPConnection, path: str, address: str, scope: Scope) -> Response | None:
        given = connection.headers.get("authorization")
        if (path.startswith(LOGIN) or given is not None) and self._gate.is_blocked(address):
            body = shape("HTTPException", detail="too many failed logins; wait a minute")
            return answer(body, 429, {"Retry-After": "60"})
        user = self._identify(connection)
        if user is None and given is not None:
            user = self._gate.user(given)
            if user is None:
                self._gate.failed(address)
        if user is not None:
            scope[USER_KEY] = user
        elif path.startswith(GUARDED) and not path.startswith(OPEN):
            return answer(shape("HTTPException", detail="log in on the page first"), 401)
        return None

    def _counting(self, path: str, address: str, send: Send) -> Send:
        """Count the failures of gradio's own login page."""
        if not path.startswith(LOGIN):
            return send

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 401):
                self._gate.failed(address)
            await send(message)

        return counted
