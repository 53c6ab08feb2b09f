"""A1111's API: making pictures, watching and ending jobs. The rest of it is in the neighbouring files."""

import base64
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.domain.errors import WebuiError
from modules.domain.extras import ExtrasRequest
from modules.domain.merge import MergeRequest
from modules.domain.visit import VisitRequest
from modules.engine.job import JobHandle
from modules.hooks.cancel import CancelReason
from modules.web.rest.answers import made_answer
from modules.web.rest.requests import StrictRoute, ended_or_gone, owner_of, services_of
from modules.web.rest.schema import MakeBody, img2img_model, txt2img_model
from modules.web.rest.translate import Understood, understand
from modules.web.services import Services

CLIENT_GONE = 499
"""Status of an answer that nobody waits for any more."""

Needs = Annotated[Services, Depends(services_of)]


def sdapi_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/txt2img", making("txt2img", txt2img_model()), methods=["POST"], name="txt2img")
    router.add_api_route("/img2img", making("img2img", img2img_model()), methods=["POST"], name="img2img")
    router.add_api_route("/progress", progress, methods=["GET"])
    router.add_api_route("/interrupt", interrupt, methods=["POST"])
    router.add_api_route("/skip", skip, methods=["POST"])
    return router


def making(kind: str, model: type[MakeBody]) -> Any:
    """Return an endpoint that takes such a body, queues it, and answers with the pictures."""

    async def make(request: Request, services: Needs, body: Annotated[Any, Body()]) -> Response:
        return await _make(request, services, body, kind)

    make.__annotations__["body"] = model
    return make


async def _make(request: Request, services: Services, body: MakeBody, kind: str) -> Response:
    """Queue a request and answer when its job has ended; a client that leaves takes its job with it."""
    handle, understood = await run_in_threadpool(_accept, request, services, body, kind)
    if await ended_or_gone(handle, request.receive):
        if services.settings.snapshot().api.api_cancel_on_disconnect:
            services.desk.cancel(handle.id)
        return Response(status_code=CLIENT_GONE)
    raw = await run_in_threadpool(_encode, services, handle, understood)
    return Response(raw, media_type="application/json")


def _accept(request: Request, services: Services, body: MakeBody, kind: str) -> tuple[JobHandle, Understood]:
    owner = owner_of(request)
    understood = understand(body, services, owner.user)
    task_id = understood.body.model_dump()["force_task_id"] or None
    handle = services.desk.accept(understood.generation, owner, task_id, kind=kind, attended=True)
    if understood.kept:
        _keep(services, handle, understood)
    return handle, understood


def _keep(services: Services, handle: JobHandle, understood: Understood) -> None:
    """Save the settings that a request wants to leave behind; a job whose wish cannot be met does not run."""
    try:
        services.settings.set(understood.kept, by="api")
    except WebuiError:
        services.desk.cancel(handle.id)
        raise


def _encode(services: Services, handle: JobHandle, understood: Understood) -> bytes:
    outcome = handle.result()
    settings = services.settings.snapshot().with_overrides(understood.generation.overrides)
    return made_answer(understood.body, outcome, settings, version=services.version, warnings=understood.warnings)


def progress(services: Needs, skip_current_image: bool = False) -> dict[str, Any]:
    """Tell how far the running job is."""
    handle = services.desk.current()
    if handle is None or handle.done:
        return {
            "progress": 0.0, "eta_relative": 0.0, "state": state_of(None), "current_image": None, "textinfo": None,
        }  # fmt: skip
    handle.touch()
    seen = handle.progress
    preview = None if skip_current_image else handle.preview
    return {
        "progress": seen.a1111_fraction(),
        "eta_relative": seen.eta_relative(time.monotonic()),
        "state": state_of(handle),
        "current_image": base64.b64encode(preview.data).decode("ascii") if preview is not None else None,
        "textinfo": seen.stage or None,
    }


def state_of(handle: JobHandle | None) -> dict[str, Any]:
    """Describe the running job as A1111's state object."""
    if handle is None:
        return {
            "skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0,
            "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
        }  # fmt: skip
    seen, reason = handle.progress, handle.cancel_token.reason
    started = time.localtime(handle.started_at or handle.job.accepted_at)
    return {
        "skipped": reason is CancelReason.SKIP,
        "interrupted": reason is CancelReason.INTERRUPT,
        "stopping_generation": reason is CancelReason.STOP,
        "job": job_name(handle),
        "job_count": seen.num_batches or -1,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", started),
        "job_no": seen.batch,
        "sampling_step": seen.step,
        "sampling_steps": seen.num_steps,
    }


def job_name(handle: JobHandle) -> str:
    """Name a job as A1111 does: by batch, else by what was called, else by the task of the interface."""
    seen = handle.progress
    if isinstance(handle.job.payload, MergeRequest):
        return "model-merge"
    if isinstance(handle.job.payload, ExtrasRequest):
        return handle.job.kind
    if isinstance(handle.job.payload, VisitRequest) and seen.num_batches <= 1:
        return handle.job.payload.label
    if seen.num_batches > 1:
        return f"Batch {seen.batch + 1} out of {seen.num_batches}"
    return f"scripts_{handle.job.kind}" if handle.job.owner.source == "api" else handle.job.task_id


def interrupt(services: Needs) -> dict[str, Any]:
    """End whatever runs at this moment; jobs that wait are not touched."""
    services.desk.interrupt()
    return {}


def skip(services: Needs) -> None:
    """End the batch that runs and go on with the next."""
    services.desk.skip()
