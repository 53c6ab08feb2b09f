"""A1111's API: settings."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from modules.settings.known import HELD, IGNORED, UNSUPPORTED
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.translate import check_names
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def options_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/options", get_options, methods=["GET"])
    router.add_api_route("/options", set_options, methods=["POST"])
    return router


def get_options(services: Needs) -> dict[str, Any]:
    """Return every setting under its flat name; those of A1111's that are not here have its defaults."""
    return {**others(services), **services.settings.snapshot().flat(), **checkpoint_in_use(services)}


def others(services: Services) -> dict[str, Any]:
    """Return the settings that clients of A1111 may look for, and may send back as they are."""
    return {**UNSUPPORTED, **{key: allowed[0] for key, allowed in HELD.items()}, **dict.fromkeys(sorted(IGNORED), "")}


def checkpoint_in_use(services: Services) -> dict[str, Any]:
    """Return the setting of the checkpoint; the title of the first one when none is configured, as that is used."""
    configured = services.settings.snapshot().sd.sd_model_checkpoint
    listed = services.checkpoints()
    if configured or not listed:
        return {}
    return {"sd_model_checkpoint": listed[0].title, "sd_checkpoint_hash": listed[0].sha256 or ""}


def set_options(services: Needs, values: Annotated[dict[str, Any], Body()]) -> None:
    """Change settings and save them; either all are applied or none. Null leaves a setting as it is."""
    given = {key: value for key, value in values.items() if value is not None}
    check_names(given, services, field="")
    services.settings.set(given, by="api")
