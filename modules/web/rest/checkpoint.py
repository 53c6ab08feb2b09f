"""A1111's API: the checkpoint leaves the graphics card and comes back, by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def checkpoint_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/unload-checkpoint", unload, methods=["POST"], name="unload checkpoint")
    router.add_api_route("/reload-checkpoint", reload, methods=["POST"], name="reload checkpoint")
    return router


def unload(services: Needs) -> dict[str, Any]:
    """Have the loaded models leave the graphics card, or memory where there is none; a job keeps its own until it ends.

    Differs from A1111 in that a job that comes afterwards runs as ever: it brings back what it needs.
    """
    services.unload_models()
    return {}


def reload(services: Needs) -> dict[str, Any]:
    """Bring back the model that was used last, so that the next job need not wait for it."""
    services.reload_model()
    return {}
