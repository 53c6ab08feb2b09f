"""A1111's routes for the cards of models: previews, pictures inside files, metadata. Only listed models have any."""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from modules.domain.errors import InvalidRequest, ModelError
from modules.library.header import read_header
from modules.library.scan import scan_files
from modules.library.sidecars import preview_path, shown_metadata
from modules.web.rest.jobs import picture
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services
from modules.web.shelves import COVER_IMAGES, HYPERNETWORK_SUFFIXES, NETWORK_SUFFIXES

Needs = Annotated[Services, Depends(services_of)]

SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
         ".avif": "image/avif"}  # fmt: skip
"""Kinds of previews that are sent. No other file is, whatever lies beside a model."""


def cards_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sd_extra_networks", route_class=StrictRoute, tags=["cards"])
    for path, call in (("/thumb", thumb), ("/cover-images", cover_images), ("/metadata", metadata)):
        router.add_api_route(path, call, methods=["GET"])
    return router


def thumb(services: Needs, filename: str = "") -> Response:
    """Return the preview of a model by its path, which must be one that belongs to a listed model."""
    for page in pages(services):
        for model in models(services, page).values():
            path = preview_path(model)
            if path is not None and str(path) == filename and path.suffix.lower() in SHOWN:
                headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
                return FileResponse(path, headers=headers, media_type=SHOWN[path.suffix.lower()])
    raise HTTPException(404, "File not found")


def cover_images(services: Needs, page: str = "", item: str = "", index: int = 0) -> Response:
    """Return one of the pictures that lie inside a file, as PNG."""
    from modules.imaging.encode import encode
    from modules.imaging.open import decode_base64, open_image

    try:
        listed: Any = json.loads(file_metadata(services, page, item).get(COVER_IMAGES, ""))
        text = listed[index] if index >= 0 else None
        image = open_image(decode_base64(text if isinstance(text, str) else ""))
    except (ValueError, LookupError, TypeError, RecursionError, InvalidRequest):
        raise HTTPException(404, "File not found") from None
    image.info = {}
    return picture(encode(image, "png", None).data, "png")


def metadata(services: Needs, page: str = "", item: str = "") -> dict[str, str]:
    """Return what a file says about itself, as JSON text; nothing for a model that is not listed, or says nothing."""
    told = {
        key: value for key, value in shown_metadata(file_metadata(services, page, item)).items() if key != COVER_IMAGES
    }
    return {"metadata": json.dumps(told, indent=4, ensure_ascii=False)} if told else {}


def file_metadata(services: Services, page: str, item: str) -> dict[str, str]:
    """Return the metadata of a listed model; {} for any other, and for a file that cannot be read."""
    path = models(services, page).get(item)
    try:
        return {} if path is None else dict(read_header(path).metadata)
    except ModelError:
        return {}


def pages(services: Services) -> tuple[str, ...]:
    """Return the names of the pages of cards, as A1111 has them."""
    return ("checkpoints", *_folders(services))


def models(services: Services, page: str) -> dict[str, Path]:
    """Return name -> file of the models of a page; an unknown page has none."""
    name = page.lower()
    if name == "checkpoints":
        return {one.model_name: Path(one.filename) for one in services.checkpoints()}
    folders, suffixes = _folders(services).get(name, ((), ()))
    return {path.stem: path for folder in folders for _, path in scan_files(folder, suffixes)}


def _folders(services: Services) -> dict[str, tuple[tuple[Path, ...], tuple[str, ...]]]:
    shelves = services.shelves
    return {
        "lora": (shelves.loras, NETWORK_SUFFIXES),
        "hypernetworks": (shelves.hypernetworks, HYPERNETWORK_SUFFIXES),
    }
