"""A1111's API for ending the program; there only with `--api-server-stop`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from modules.web.rest.requests import StrictRoute
from modules.web.stopping import Stopping


def stopping_of(request: Request) -> Stopping:
    """Return the way to end the program.

    Raises:
        HTTPException: 501 when whoever runs this application did not say how.
    """
    found: Any = getattr(request.app.state, "stopping", None)
    if not isinstance(found, Stopping):
        raise HTTPException(501, "this server cannot be ended over the API")
    return found


Needs = Annotated[Stopping, Depends(stopping_of)]


def control_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/server-kill", kill, methods=["POST"])
    router.add_api_route("/server-restart", restart, methods=["POST"])
    router.add_api_route("/server-stop", stop, methods=["POST"])
    return router


def kill(stopping: Needs) -> Response:
    """End the program; the running job is interrupted."""
    stopping.end(finish_running=False)
    return Response()


def restart(stopping: Needs) -> Response:
    """End the program and start it again with the same flags; the running job is interrupted."""
    stopping.end(finish_running=False, again=True)
    return Response()


def stop(stopping: Needs) -> Response:
    """End the program after the running job."""
    stopping.end(finish_running=True)
    return PlainTextResponse("Stopping.")
