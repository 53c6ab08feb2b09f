"""Version 2 of the API: whether the server is alive and ready, and which models there are."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from modules.web.rest.errors import RETRY_AFTER_S, answer, without_folders
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.v2.describe import PREFIX
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def system_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix=PREFIX, route_class=StrictRoute, tags=["v2: server"])
    router.add_api_route("/health", health, methods=["GET"], summary="Is it alive?")
    router.add_api_route("/ready", ready, methods=["GET"], summary="Can it make pictures?")
    router.add_api_route("/models", models, methods=["GET"], summary="List the models")
    return router


async def health() -> dict[str, str]:
    """Answer as soon as the server listens, even while the program is still starting."""
    return {"status": "alive"}


def ready(services: Needs) -> Response:
    """Say whether a job that is sent now would run: 200, or 503 with the reasons."""
    faults = {name: without_folders(fault) for name, fault in faults_of(services).items()}
    wrong = {name: fault for name, fault in faults.items() if fault}
    body = {"status": "not ready" if wrong else "ready", "checks": {name: not fault for name, fault in faults.items()}}
    if not wrong:
        return answer(body)
    return answer({**body, "reasons": wrong}, 503, {"Retry-After": str(RETRY_AFTER_S)})


def faults_of(services: Services) -> dict[str, str]:
    """Return what is wrong with each thing that a job needs; empty for what is right."""
    return {
        "worker": "" if services.engine.alive else "no worker takes jobs",
        "model": _model_fault(services),
        "disk": services.ledger.fault(),
    }


def _model_fault(services: Services) -> str:
    if not services.checkpoints():
        return "there is no checkpoint; put one into models/Stable-diffusion"
    chosen = services.settings.snapshot().sd.sd_model_checkpoint or ""
    known = chosen if services.knows_checkpoint(chosen) else ""
    return services.checkpoint_facts(known).fault


def models(services: Needs) -> dict[str, Any]:
    """List the checkpoints, the VAE files and the checkpoints in memory. `name` is what requests take."""
    loaded = {one.filename for one in services.loaded()}
    chosen = services.settings.snapshot().sd.sd_model_checkpoint
    return {
        "checkpoints": [
            {
                "name": one.model_name, "title": one.title, "hash": one.hash, "sha256": one.sha256,
                "loaded": one.filename in loaded,
            }
            for one in services.checkpoints()
        ],
        "configured": chosen,
        "vaes": [one.model_name for one in services.vaes()],
        "samplers": [one.name for one in services.samplers()],
        "schedulers": [asdict(one)["name"] for one in services.schedulers()],
    }  # fmt: skip
