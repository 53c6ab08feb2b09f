"""A1111's API: settings."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.translate import check_checkpoint
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def options_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/options", get_options, methods=["GET"])
    router.add_api_route("/options", set_options, methods=["POST"])
    return router


def get_options(services: Needs) -> dict[str, Any]:
    """Return every setting under its flat name."""
    return services.settings.snapshot().flat()


def set_options(services: Needs, values: Annotated[dict[str, Any], Body()]) -> None:
    """Change settings and save them; either all are applied or none. Null leaves a setting as it is."""
    given = {key: value for key, value in values.items() if value is not None}
    check_checkpoint(given, services.knows_checkpoint)
    services.settings.set(given, by="api")
