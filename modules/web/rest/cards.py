"""A1111's routes for the cards of models: previews, pictures inside files, metadata. Only listed models have any."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from modules.domain.errors import InvalidRequest
from modules.web.cards.facts import covers
from modules.web.cards.pages import SHOWN, Card
from modules.web.cards.sheet import metadata_of, metadata_text
from modules.web.rest.jobs import picture
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def cards_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sd_extra_networks", route_class=StrictRoute, tags=["cards"])
    for path, call in (
        ("/thumb", thumb), ("/cover-images", cover_images), ("/metadata", metadata), ("/get-single-card", single_card)
    ):  # fmt: skip
        router.add_api_route(path, call, methods=["GET"])
    return router


def thumb(request: Request, services: Needs, filename: str = "") -> Response:
    """Return the preview of a model by its path, which must be one that belongs to a listed model."""
    for page in services.cards.all:
        if filename and filename in page.listed.by_preview:
            return preview_file(request, page.listed.by_preview[filename].preview)
    raise HTTPException(404, "File not found")


def cover_images(services: Needs, page: str = "", item: str = "", index: int = 0) -> Response:
    """Return one of the pictures that lie inside a file, as PNG."""
    card = _card(services, page, item)
    return cover_of(card, index)


def metadata(services: Needs, page: str = "", item: str = "") -> dict[str, str]:
    """Return what a file says about itself, as JSON text; nothing for a model that is not listed, or says nothing."""
    card = _card(services, page, item)
    text = "" if card is None else metadata_text(card)
    return {"metadata": text} if text else {}


def single_card(services: Needs, page: str = "", tabname: str = "", name: str = "") -> dict[str, str]:
    """Return the card of a model as HTML, after another look at its files; empty for one that is not listed."""
    found, card = services.cards.find(page), _card(services, page, name)
    fresh = None if found is None or card is None else found.renew(card.key)
    return {"html": "" if fresh is None else card_html(fresh, tabname)}


def card_html(card: Card, tab: str) -> str:
    """Return a card as HTML, with the classes that A1111's has."""
    from modules.web.ui import html

    shown = [("name", card.name), ("description", card.notes.description)]
    words = html.element("div", *(html.element("span", text, class_=kind) for kind, text in shown), class_="actions")
    address = f"./sd_extra_networks/thumb?{urlencode({'filename': str(card.preview)})}"
    image = [] if card.preview is None else [html.image(address, class_="preview", loading="lazy")]
    return html.element("div", *image, words, class_="card", data_name=card.name, data_tabname=tab)


def cover_of(card: Card | None, index: int) -> Response:
    """Answer with one of the pictures inside a file."""
    from modules.imaging.encode import encode
    from modules.imaging.open import decode_base64, open_image

    listed = [] if card is None else covers(metadata_of(card))
    try:
        image = open_image(decode_base64(listed[index] if 0 <= index < len(listed) else ""))
    except InvalidRequest:
        raise HTTPException(404, "File not found") from None
    image.info = {}
    return picture(encode(image, "png", None).data, "png")


def preview_file(request: Request, path: Path | None) -> Response:
    """Answer with a preview, or say that it is the one the client has."""
    if path is None or not path.is_file():
        raise HTTPException(404, "File not found")
    status = path.stat()
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=SHOWN[path.suffix.lower()])


def _card(services: Services, page: str, name: str) -> Card | None:
    found = services.cards.find(page)
    return None if found is None else found.named(name)
