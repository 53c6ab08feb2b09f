"""The routes behind the cards inside of txt2img and img2img."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from modules.domain.errors import InvalidRequest
from modules.web.cards import sheet
from modules.web.cards.facts import VERSIONS
from modules.web.cards.kinds import TITLES
from modules.web.cards.pages import Listed
from modules.web.rest.cards import cover_of, preview_file
from modules.web.rest.jobs import job_of
from modules.web.rest.requests import StrictRoute
from modules.web.ui.context import UiContext
from modules.web.ui.routes import PREFIX, context_of

Needs = Annotated[UiContext, Depends(context_of)]
Values = Annotated[dict[str, Any], Body()]


def cards_ui_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix=f"{PREFIX}/cards", route_class=StrictRoute, include_in_schema=False)
    for path, call in (
        ("", options), ("/{page}", listing), ("/{page}/card", card), ("/{page}/metadata", metadata), ("/{page}/thumb", thumb),
        ("/{page}/cover", cover),
    ):  # fmt: skip
        router.add_api_route(path, call, methods=["GET"])
    for path, call in (("/{page}/refresh", refresh), ("/{page}/card", change), ("/{page}/preview", replace_preview)):
        router.add_api_route(path, call, methods=["POST"])
    return router


def options(context: Needs) -> dict[str, Any]:
    """Return the settings of cards, and what kind of model is in use."""
    from modules.web.ui.quick import CHECKPOINT, current

    services = context.services
    own = services.settings.snapshot().extra_networks
    facts = services.checkpoint_facts(services.settings.snapshot().sd.sd_model_checkpoint or "")
    return {
        "width": own.extra_networks_card_width, "height": own.extra_networks_card_height,
        "scale": own.extra_networks_card_text_scale, "descriptions": own.extra_networks_card_show_desc,
        "order": own.extra_networks_card_order_field, "descending": own.extra_networks_card_order == "Descending",
        "tree": own.extra_networks_tree_view_style == "Tree", "folders": own.extra_networks_tree_view_default_enabled,
        "tree_width": own.extra_networks_tree_view_default_width, "slash": own.extra_networks_dir_button_function,
        "hidden_folders": own.extra_networks_show_hidden_directories, "hidden": own.extra_networks_hidden_models,
        "multiplier": own.extra_networks_default_multiplier, "separator": own.extra_networks_add_text_separator,
        "aliases": own.lora_preferred_name == "Alias from file", "all": own.lora_show_all,
        "hide_unknown": facts.family in [VERSIONS[one] for one in own.lora_hide_unknown_for_versions if one in VERSIONS],
        "family": facts.family, "chosen": current(CHECKPOINT, context), "checkpoint": facts.name,
    }  # fmt: skip


def listing(request: Request, context: Needs, page: str) -> Response:
    """List the cards of a page, or say that the client has the list."""
    return _answer(request, context.services.cards.get(page).listed)


def refresh(request: Request, context: Needs, page: str) -> Response:
    """Look for files again."""
    return _answer(request, context.services.cards.get(page).refresh())


def card(context: Needs, page: str, key: str = "") -> dict[str, Any]:
    """Describe one card in full."""
    found = context.services.cards.get(page)
    with_path = not (context.hides_folders or context.remote)
    choices = {"vae": ["Automatic", "None", *(one.model_name for one in context.services.vaes())],
               sheet.VERSION: ["Unknown", *VERSIONS]}  # fmt: skip
    return {**sheet.describe(found, found.get(key), with_path=with_path), "choices": choices}


def change(context: Needs, page: str, body: Values) -> dict[str, Any]:
    """Change the notes of a card."""
    values = body.get("values")
    if not isinstance(values, dict):
        raise InvalidRequest("expected an object of notes", field="values")
    found = context.services.cards.get(page)
    sheet.change(found, found.get(_key(body)), cast("dict[str, Any]", values))
    return {}


def replace_preview(request: Request, context: Needs, page: str, body: Values) -> dict[str, Any]:
    """Make a picture of a gallery the preview of a card."""
    found, number = context.services.cards.get(page), body.get("number")
    one = found.get(_key(body))
    made = job_of(request, context.services, str(body.get("job", ""))).images()
    if not isinstance(number, int) or not 0 <= number < len(made):
        raise HTTPException(404, "Image not found")
    return {"file": sheet.replace_preview(found, one, made[number]).name}


def metadata(context: Needs, page: str, key: str = "") -> dict[str, str]:
    """Return what a file says about itself, as text."""
    return {"metadata": sheet.metadata_text(context.services.cards.get(page).get(key))}


def thumb(request: Request, context: Needs, page: str, key: str = "") -> Response:
    """Return the preview of a card."""
    return preview_file(request, context.services.cards.get(page).get(key).preview)


def cover(context: Needs, page: str, key: str = "") -> Response:
    """Return the first picture inside a file."""
    return cover_of(context.services.cards.get(page).get(key), 0)


def tab_titles(order: str, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Return id -> title of the pages, those that the owner names first.

    Args:
        order: titles, with commas between.
        more: id -> title of pages of extensions.
    """
    first = [name.strip().lower() for name in order.split(",")]
    place = {name: number for number, name in enumerate(first)}
    return dict(sorted({**TITLES, **more}.items(), key=lambda item: place.get(item[1].lower(), len(first))))


def _answer(request: Request, listed: Listed) -> Response:
    headers = {"ETag": listed.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == listed.tag:
        return Response(status_code=304, headers=headers)
    return Response(listed.body, media_type="application/json", headers=headers)


def _key(body: dict[str, Any]) -> str:
    key = body.get("key")
    if not isinstance(key, str):
        raise InvalidRequest("expected the key of a card", field="key")
    return key
