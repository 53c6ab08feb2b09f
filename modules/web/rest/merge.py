"""Making a checkpoint of others over our own contract; the body has the arguments of A1111's merger by name."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from fastapi import Body, Depends, Request
from pydantic import Field, create_model
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.merge import AS_STORED, FLOAT16, NO_MODEL, Merged, MergeRequest, check_merge
from modules.domain.param import ParamPath, walk_params
from modules.engine.job import JobHandle
from modules.web.rest.errors import answer
from modules.web.rest.requests import ended_or_gone, owner_of, services_of
from modules.web.rest.schema import MakeBody
from modules.web.rest.sdapi import CLIENT_GONE
from modules.web.services import CheckpointInfo, Services

KIND = "modelmerger"
FIELDS = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
Needs = Annotated[Services, Depends(services_of)]


def merging() -> Any:
    """Return the endpoint."""

    async def merge_checkpoints(request: Request, services: Needs, body: Annotated[Any, Body()]) -> Response:
        """Make a checkpoint of one, two or three others; a client that leaves takes its job with it."""
        handle = await run_in_threadpool(_accept, request, services, body.model_dump())
        if await ended_or_gone(handle, request.receive):
            if services.settings.snapshot().api.api_cancel_on_disconnect:
                services.desk.cancel(handle.id)
            return Response(status_code=CLIENT_GONE)
        return answer(describe(handle.result_as(Merged), services))

    merge_checkpoints.__annotations__["body"] = merge_model()
    return merge_checkpoints


@cache
def merge_model() -> type[MakeBody]:
    """Build the model of the body."""
    fields: dict[str, Any] = {item.name: _field(item) for item in walk_params(MergeRequest)}
    fields["save_as_half"] = (bool, Field(False, title="Save as float16", description="The same as this precision."))
    fields["force_task_id"] = (str | None, None)
    return create_model("MergeCheckpointsRequest", __base__=MakeBody, **fields)


def _field(item: ParamPath) -> tuple[Any, Any]:
    about = item.param
    choices = about.choices if isinstance(about.choices, tuple) else None
    more: dict[str, Any] = {"json_schema_extra": {"enum": list(choices)}} if choices else {}
    field = Field(item.default, title=about.label, description=about.help or None, ge=about.ge, le=about.le, **more)
    return item.annotation, field


def _accept(request: Request, services: Services, asked: Mapping[str, Any]) -> JobHandle:
    task_id = asked["force_task_id"] or None
    wanted = request_of(asked, services)
    return services.desk.accept(wanted, owner_of(request), task_id, kind=KIND, attended=True)


def request_of(asked: Mapping[str, Any], services: Services) -> MergeRequest:
    """Make the request of a body or of the controls of the page, and look its names up.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
        UnknownName: a model or the VAE is not there.
    """
    values = {item.name: asked[item.name] for item in walk_params(MergeRequest)}
    if asked["save_as_half"]:
        if values["precision"] not in (AS_STORED, FLOAT16):
            raise InvalidRequest(f"the precision is {values['precision']}; choose one of both", field="save_as_half")
        values["precision"] = FLOAT16
    request = MergeRequest(**values)
    check_merge(request)
    for field, name in zip(FIELDS, request.models, strict=False):
        if not services.knows_checkpoint(name):
            raise UnknownName("Checkpoint", name, (one.title for one in services.checkpoints()), field=field)
    vaes = [one.model_name for one in services.vaes()]
    if request.bake_in_vae not in ("", NO_MODEL, *vaes):
        raise UnknownName("VAE", request.bake_in_vae, vaes, field="bake_in_vae")
    return request


def describe(merged: Merged, services: Services) -> dict[str, Any]:
    """Tell what a merge left."""
    made = checkpoint_of(merged, services)
    return {
        "interrupted": merged.interrupted,
        "checkpoint": merged.path.name if merged.path is not None else None,
        "title": made.title if made is not None else None,
        "model_name": made.model_name if made is not None else None,
        "notes": list(merged.notes),
    }


def checkpoint_of(merged: Merged, services: Services) -> CheckpointInfo | None:
    """Find the new checkpoint among all; None when there is none."""
    return next((one for one in services.checkpoints() if one.filename == str(merged.path)), None)
