"""What every route needs from its request: the services, who asks, and a body that was read strictly."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Receive

from modules.engine.job import JobHandle, Owner
from modules.web.rest.errors import field_errors, render
from modules.web.rest.wire import JSON_KEY, USER_KEY
from modules.web.services import Services


class StrictRequest(Request):
    """A request whose JSON was parsed before it got here."""

    async def json(self) -> Any:
        """Return the parsed body."""
        return self.scope.get(JSON_KEY)


class StrictRoute(APIRoute):
    """Hands `StrictRequest` to its endpoint, and turns every error into an answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the framework."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            try:
                return await handler(StrictRequest(request.scope, request.receive))
            except RequestValidationError as error:
                return field_errors(error.errors())
            except Exception as error:  # noqa: BLE001 - the edge of the program: what is not known is logged there
                return render(error)

        return strict


async def services_of(request: Request) -> Services:
    """Return the services; requests get here only once they are attached. Async, since others are called in a thread."""
    return cast("Services", request.app.state.services)


def owner_of(request: Request, source: str = "api") -> Owner:
    """Describe who asks: a login where people have to log in, else only an address."""
    address = request.client.host if request.client is not None else ""
    return Owner(source=source, client=address, user=request.scope.get(USER_KEY))


async def ended_or_gone(handle: JobHandle, receive: Receive) -> bool:
    """Wait, without a thread, until a job has ended or its client has left.

    Returns:
        True when the client left first.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed when the server stopped meanwhile
            loop.call_soon_threadsafe(ended.set)

    handle.when_done(tell)
    watchers = [asyncio.ensure_future(ended.wait()), asyncio.ensure_future(_left(receive))]
    try:
        await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        return not handle.done
    finally:
        for watcher in watchers:
            watcher.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
