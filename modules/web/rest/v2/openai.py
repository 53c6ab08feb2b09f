"""OpenAI's image API: what its clients need to make and to change pictures here."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from modules.domain.errors import InvalidRequest
from modules.engine.job import JobHandle
from modules.web.rest.answers import shown_pictures
from modules.web.rest.errors import answer
from modules.web.rest.requests import StrictRoute, ended_or_gone, owner_of, services_of
from modules.web.rest.schema import MakeBody
from modules.web.rest.sdapi import CLIENT_GONE
from modules.web.rest.translate import understand
from modules.web.rest.v2.describe import TYPES
from modules.web.rest.v2.openai_bodies import ImagesRequest, edit_body, generation_body
from modules.web.rest.v2.openai_links import Links
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
_MAX_FILES, _MAX_FIELDS, _MAX_FIELD_BYTES = 16, 64, 1 << 20
_FORM_DOC: Mapping[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "prompt"],
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "The picture to change."},
                        "mask": {"type": "string", "format": "binary", "description": "Transparent is repainted."},
                        "prompt": {"type": "string"},
                        "n": {"type": "integer", "default": 1},
                        "size": {"type": "string", "default": "auto"},
                        "response_format": {"type": "string", "enum": ["url", "b64_json"]},
                        "model": {"type": "string"},
                        "denoising_strength": {"type": "number", "default": 0.75},
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a form brought."""

    asked: ImagesRequest
    image: bytes
    mask: bytes | None


def openai_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["OpenAI"])
    links = Links()

    async def generations(request: Request, services: Needs, body: ImagesRequest) -> Response:
        """Make pictures from a prompt, as OpenAI's API does.

        `seed`, `steps`, `cfg_scale`, `negative_prompt`, `sampler_name` and `scheduler` may be added. Addresses expire
        after an hour. With `--api-auth user:password` the key of the client is `user:password`.
        """
        return await _made(request, services, links, body, lambda: generation_body(body, services), "txt2img")

    async def edits(request: Request, services: Needs) -> Response:
        """Change a picture, or what is transparent in its mask, as OpenAI's API does."""
        form = await _form_of(request)
        make = lambda: edit_body(form.asked, form.image, form.mask, services)  # noqa: E731
        return await _made(request, services, links, form.asked, make, "img2img")

    def file(request: Request, name: str) -> Response:
        """Return a picture of an earlier answer."""
        found = links.get(name, owner_of(request).user)
        if found is None:
            raise HTTPException(404, "This address has expired or never was")
        kind = TYPES.get(found.format, "application/octet-stream")
        headers = {
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f"attachment; filename={name}.{found.format}",
        }
        return Response(found.data, media_type=kind, headers={**headers, "Cache-Control": "private, max-age=3600"})

    router.add_api_route("/images/generations", generations, methods=["POST"], summary="Make pictures")
    router.add_api_route(
        "/images/edits", edits, methods=["POST"], summary="Change a picture", openapi_extra=dict(_FORM_DOC)
    )
    router.add_api_route("/images/files/{name}", file, methods=["GET"], summary="Fetch a picture")
    router.add_api_route("/models", models, methods=["GET"], summary="List the checkpoints")
    return router


def models(services: Needs) -> dict[str, Any]:
    """List the checkpoints as OpenAI lists its models."""
    data = [
        {"id": one.model_name, "object": "model", "created": 0, "owned_by": "local"} for one in services.checkpoints()
    ]
    return {"object": "list", "data": data}


async def _made(
    request: Request,
    services: Services,
    links: Links,
    asked: ImagesRequest,
    make: Callable[[], MakeBody],
    kind: str,
) -> Response:
    """Queue a request and answer when its job has ended; a client that leaves takes its job with it."""
    handle = await run_in_threadpool(_accept, request, services, make, kind)
    if await ended_or_gone(handle, request.receive):
        if services.settings.snapshot().api.api_cancel_on_disconnect:
            services.desk.cancel(handle.id)
        return Response(status_code=CLIENT_GONE)
    base = str(request.base_url) if asked.wants_url() else None
    return await run_in_threadpool(_answer, handle, links, base)


def _accept(request: Request, services: Services, make: Callable[[], MakeBody], kind: str) -> JobHandle:
    owner = owner_of(request)
    understood = understand(make(), services, owner.user)
    return services.desk.accept(understood.generation, owner, kind=kind, attended=True)


def _answer(handle: JobHandle, links: Links, base: str | None) -> Response:
    outcome, user = handle.result(), handle.job.owner.user
    pictures = [one for one in shown_pictures(outcome, with_grid=False) if not one.extra]
    if base is None:
        data = [{"b64_json": base64.b64encode(one.data).decode("ascii")} for one in pictures]
    else:
        data = [{"url": f"{base}v1/images/files/{links.put(one.data, one.format, user)}"} for one in pictures]
    return answer({"created": int(time.time()), "data": data})


async def _form_of(request: Request) -> Form:
    """Read a form; parsing it takes a while, so that happens in a thread.

    Raises:
        HTTPException: not a form, or a broken one.
        InvalidRequest: a field that cannot be used.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "send the body as multipart/form-data")
    body = await request.body()
    try:
        form = await asyncio.to_thread(lambda: asyncio.run(_parsed(request, body)))
    except (MultiPartException, KeyError, UnicodeError) as error:
        raise HTTPException(400, f"the form cannot be read: {str(error)[:200]}") from None
    try:
        return _understood(form)
    except ValidationError as error:
        raise InvalidRequest(error.errors()[0]["msg"], field=str(error.errors()[0]["loc"][0])) from None


class _InMemory(MultiPartParser):
    """Keeps uploads in memory: the body is there already, and private pictures stay off the disk."""

    spool_max_size = 1 << 40


async def _parsed(request: Request, body: bytes) -> dict[str, Any]:
    """Return the fields of a form as text and its files as bytes; of equal names the files come as a list."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(
        request.headers, stream(), max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    form: FormData = await parser.parse()
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            found.setdefault(name.removesuffix("[]"), []).append(await value.read())
        else:
            found[name] = value
    await form.close()
    return found


def _understood(form: dict[str, Any]) -> Form:
    images, masks = form.pop("image", None), form.pop("mask", None)
    if not isinstance(images, list):
        raise InvalidRequest("send the picture as a file", field="image")
    if len(images) > 1:
        raise InvalidRequest("one picture at a time can be changed here", field="image")
    if masks is not None and not isinstance(masks, list):
        raise InvalidRequest("send the mask as a file", field="mask")
    fields = {name: value for name, value in form.items() if isinstance(value, str) and value != ""}
    return Form(asked=ImagesRequest.model_validate(fields), image=images[0], mask=masks[0] if masks else None)
