"""A1111's API: networks beside checkpoints, face restorers and extensions.

The files are listed as they lie in their folders; what this program cannot use yet is not said to be loaded.
"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.web import shelves
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def networks_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    for path, call in (
        ("/embeddings", embeddings), ("/hypernetworks", hypernetworks), ("/loras", loras),
        ("/extensions", extensions), ("/face-restorers", face_restorers), ("/realesrgan-models", realesrgan_models),
    ):  # fmt: skip
        router.add_api_route(path, call, methods=["GET"])
    for path in ("/refresh-embeddings", "/refresh-loras"):
        router.add_api_route(path, look_again, methods=["POST"], name=path[1:])
    return router


def embeddings(services: Needs) -> dict[str, dict[str, Any]]:
    """List the embeddings. Prompts do not use them yet, so none is loaded."""
    found = shelves.embeddings(services.shelves.embeddings)
    return {"loaded": {}, "skipped": {name: asdict(info) for name, info in found.items()}}


def hypernetworks(services: Needs) -> list[dict[str, Any]]:
    """List the files of hypernetworks."""
    return shelves.hypernetworks(services.shelves.hypernetworks)


def loras(services: Needs) -> list[dict[str, Any]]:
    """List the files of LoRAs."""
    return shelves.loras(services.shelves.loras)


def extensions(services: Needs) -> list[dict[str, Any]]:
    """List the extensions that come from a git repository."""
    return shelves.extensions(services.shelves.extensions)


def face_restorers() -> list[dict[str, Any]]:
    """List the face restorers: this program has none."""
    return []


def realesrgan_models() -> list[dict[str, Any]]:
    """List the models of Real-ESRGAN: this program runs none."""
    return []


def look_again() -> None:
    """Look into the folders again; every listing does, so there is nothing to remember."""
