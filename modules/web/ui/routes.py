"""The few routes that the page's own scripts call."""

from dataclasses import asdict
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.hooks.points import BeforeTokenCount, PageReloading
from modules.prompting.styles import Style, apply_styles
from modules.web.rest.jobs import image, job_of
from modules.web.rest.requests import StrictRoute
from modules.web.rest.translate import without_controls
from modules.web.ui import models, settings_form
from modules.web.ui.context import UiContext
from modules.web.ui.localization import NONE, read_localization
from modules.web.ui.results import file_name
from modules.web.ui.saving import archive_of
from modules.web.ui.tokens import style_texts

PREFIX = "/internal/ui"


def context_of(request: Request) -> UiContext:
    """Return the context of the interface.

    Raises:
        HTTPException: 503 while it is not there yet.
    """
    context = getattr(request.app.state, "ui_context", None)
    if context is None:
        raise HTTPException(503, "the interface is starting", {"Retry-After": "2"})
    return cast("UiContext", context)


Needs = Annotated[UiContext, Depends(context_of)]
Values = Annotated[dict[str, Any], Body()]


def ui_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix=PREFIX, route_class=StrictRoute, include_in_schema=False)
    router.add_api_route("/tokens", tokens, methods=["POST"])
    router.add_api_route("/settings", get_settings, methods=["GET"])
    router.add_api_route("/settings", set_settings, methods=["POST"])
    router.add_api_route("/models", get_models, methods=["GET"])
    router.add_api_route("/models/refresh", refresh_models, methods=["POST"])
    router.add_api_route("/styles", get_styles, methods=["GET"])
    router.add_api_route("/styles", save_style, methods=["POST"])
    router.add_api_route("/styles/delete", delete_style, methods=["POST"])
    router.add_api_route("/styles/apply", apply_style, methods=["POST"])
    router.add_api_route("/pictures/{job_id}/{number}/{name}", picture, methods=["GET"])
    router.add_api_route("/archives/{job_id}/{numbers}/{name}", archive, methods=["GET"])
    router.add_api_route("/page", page_settings, methods=["GET"])
    router.add_api_route("/localization", localization, methods=["GET"])
    router.add_api_route("/reload", reload, methods=["POST"])
    router.add_api_route("/user.css", user_css, methods=["GET"])
    return router


def tokens(context: Needs, body: Values) -> dict[str, Any]:
    """Count the tokens of both prompts."""
    names = tuple(str(name) for name in _list(body, "styles"))
    steps = body.get("steps")
    steps = steps if isinstance(steps, int) and 1 <= steps <= 500 else 20
    return {
        name: _count(context, BeforeTokenCount(prompt=_text(body, name), steps=steps, styles=names, positive=positive))
        for name, positive in (("prompt", True), ("negative_prompt", False))
    }


def _count(context: UiContext, asked: BeforeTokenCount) -> dict[str, Any]:
    """Count one prompt, or say why it cannot be used: a counter has nobody to fail for."""
    services = context.services
    asked = services.hooks.run(asked)
    texts = style_texts(services.styles(), asked.styles, positive=asked.positive)
    settings = services.settings.snapshot()
    try:
        found = context.counter.count(asked.prompt, texts, settings, steps=asked.steps, positive=asked.positive)
    except LimitExceeded as refused:
        return {"problem": str(refused)}
    return {"used": found.used, "limit": found.limit}


def get_settings(context: Needs) -> dict[str, Any]:
    """Describe the settings."""
    return {"sections": settings_form.describe(context)}


def set_settings(context: Needs, body: Values) -> dict[str, Any]:
    """Change settings; says which could not be changed, and why."""
    values = body.get("values")
    if not isinstance(values, dict):
        raise InvalidRequest("expected an object of settings", field="values")
    return settings_form.save(cast("dict[str, Any]", values), context)


def get_models(context: Needs) -> dict[str, Any]:
    """List the checkpoints, what is in memory, and the files that cannot be used."""
    return models.describe(context)


def refresh_models(context: Needs) -> dict[str, Any]:
    """Look for files again."""
    context.services.refresh_checkpoints()
    return models.describe(context)


def get_styles(context: Needs) -> dict[str, Any]:
    """List the saved styles."""
    return {"styles": [asdict(style) for style in context.style_book.styles()]}


def save_style(context: Needs, body: Values) -> dict[str, Any]:
    """Change a style or add one."""
    style = Style(_text(body, "name"), *(without_controls(_text(body, name)) for name in ("prompt", "negative_prompt")))
    context.style_book.save(style)
    return get_styles(context)


def delete_style(context: Needs, body: Values) -> dict[str, Any]:
    """Remove a style."""
    context.style_book.delete(_text(body, "name"))
    return get_styles(context)


def apply_style(context: Needs, body: Values) -> dict[str, Any]:
    """Write a style, saved or not, into both prompts."""
    return {
        name: apply_styles(_text(body, name), [_text(body, f"style_{name}")], field=name)
        for name in ("prompt", "negative_prompt")
    }


def picture(request: Request, context: Needs, job_id: str, number: int, name: str) -> Response:
    """Return a finished picture; its name is there for whoever downloads it.

    What an address stands for never changes, so a browser may keep it, longer than the server remembers the job.
    """
    answer = image(request, context.services, job_id, number)
    answer.headers["Cache-Control"] = "private, max-age=86400, immutable"
    return answer


def archive(request: Request, context: Needs, job_id: str, numbers: str, name: str) -> Response:
    """Return some pictures of a job as one file; its name is there for whoever downloads it."""
    made = job_of(request, context.services, job_id).images()
    wanted = list(dict.fromkeys(numbers.split(",")))
    if not all(one.isascii() and one.isdigit() and len(one) < 6 and int(one) < len(made) for one in wanted):
        raise HTTPException(404, "Image not found")
    files = [(file_name(made[int(one)], int(one)), made[int(one)].data) for one in wanted]
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(archive_of(files), media_type="application/zip", headers=headers)


def page_settings(context: Needs) -> dict[str, Any]:
    """Return the settings that the page's own scripts obey."""
    ui = context.services.settings.snapshot().ui
    return {
        "lightbox": ui.js_modal_lightbox, "zoomed": ui.js_modal_lightbox_initially_zoomed,
        "counters": not ui.disable_token_counters, "title": ui.show_progress_in_title,
        "localized": ui.localization != NONE,
    }  # fmt: skip


def localization(context: Needs) -> dict[str, Any]:
    """Return the texts of the language that the owner chose."""
    services = context.services
    found = read_localization(services.localizations().get(services.settings.snapshot().ui.localization))
    return {"texts": dict(found.texts), "rtl": found.rtl}


def reload(request: Request, context: Needs) -> dict[str, Any]:
    """Build the page anew, with the settings and defaults of this moment; the browser then loads it again."""
    interface = getattr(request.app.state, "interface", None)
    if interface is None:
        raise HTTPException(503, "the interface is starting", {"Retry-After": "2"})
    context.services.hooks.run(PageReloading())
    interface.rebuild()
    return {}


def user_css(context: Needs) -> Response:
    """Return the owner's style sheet, empty when there is none."""
    path = context.user_css
    text = path.read_text(encoding="utf-8", errors="replace") if path is not None and path.is_file() else ""
    return Response(text, media_type="text/css", headers={"Cache-Control": "no-cache"})


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest("expected text", field=name)
    return value


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list):
        raise InvalidRequest("expected a list", field=name)
    return cast("list[Any]", value)
