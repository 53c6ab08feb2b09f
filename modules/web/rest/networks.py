"""A1111's API: networks beside checkpoints, and face restorers."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.library.sidecars import shown_metadata
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def networks_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    for path, call in (
        ("/embeddings", embeddings), ("/hypernetworks", hypernetworks), ("/loras", loras),
        ("/face-restorers", face_restorers), ("/realesrgan-models", realesrgan_models),
    ):  # fmt: skip
        router.add_api_route(path, call, methods=["GET"])
    router.add_api_route("/refresh-embeddings", refresh_embeddings, methods=["POST"])
    router.add_api_route("/refresh-loras", refresh_loras, methods=["POST"])
    return router


def embeddings(services: Needs) -> dict[str, dict[str, Any]]:
    """List the embeddings that fit the model in memory, and those that do not."""
    found = services.embeddings(False)
    parts = {"loaded": found.loaded, "skipped": found.skipped}
    return {part: {name: asdict(info) for name, info in infos.items()} for part, infos in parts.items()}


def hypernetworks(services: Needs) -> list[dict[str, Any]]:
    """List the files of hypernetworks."""
    return [{"name": name, "path": str(path)} for name, path in services.hypernetworks().items()]


def loras(services: Needs) -> list[dict[str, Any]]:
    """List the files of LoRAs with the metadata that their training wrote; a broken file has none."""
    return [
        {"name": one.name, "alias": one.alias, "path": str(one.path), "metadata": shown_metadata(one.metadata)}
        for one in services.loras()
    ]


def face_restorers(services: Needs) -> list[dict[str, Any]]:
    """List what restores faces; the program itself brings nothing."""
    return [{"name": name, "cmd_dir": None} for name in services.face_restorers()]


def realesrgan_models() -> list[dict[str, Any]]:
    """List the models of Real-ESRGAN: this program runs none."""
    return []


def refresh_embeddings(services: Needs) -> None:
    """Read all embeddings again."""
    services.embeddings(True)


def refresh_loras(services: Needs) -> None:
    """Look for LoRAs again."""
    services.refresh_loras()
