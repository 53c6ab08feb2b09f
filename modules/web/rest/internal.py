"""A1111's `/internal` routes that other programs rely on."""

import base64
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.engine.job import JobHandle, JobState
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.schema import ProgressRequest
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def internal_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/internal", route_class=StrictRoute, tags=["internal"])
    router.add_api_route("/ping", ping, methods=["GET"])
    router.add_api_route("/progress", progress, methods=["POST"])
    router.add_api_route("/pending-tasks", pending_tasks, methods=["GET"])
    router.add_api_route("/quicksettings-hint", quicksettings_hint, methods=["GET"])
    return router


def quicksettings_hint(services: Needs) -> list[dict[str, str]]:
    """List the settings that can be put at the top of the page, with their labels."""
    return [
        {"name": key, "label": item.param.label} for key, item in services.settings.snapshot().declarations().items()
    ]


async def ping() -> dict[str, Any]:
    """Answer as soon as the server listens, even while the program is still starting."""
    return {}


def pending_tasks(services: Needs) -> dict[str, Any]:
    """List the task ids that wait, the next one first."""
    tasks = [handle.job.task_id for handle in services.desk.waiting()]
    return {"size": len(tasks), "tasks": tasks}


def progress(services: Needs, body: ProgressRequest) -> dict[str, Any]:
    """Tell how far the job of a task is; an unknown task is neither active, queued nor completed."""
    handle = services.desk.find(body.id_task) if body.id_task else None
    if handle is None or handle.state is not JobState.RUNNING:
        return _not_running(services, handle)
    handle.touch()
    seen, newest = handle.progress, handle.preview
    is_new = newest is not None and body.live_preview is not False and newest.number != body.id_live_preview
    picture = None
    if newest is not None and is_new:
        picture = f"data:image/{newest.format};base64,{base64.b64encode(newest.data).decode('ascii')}"
    return {
        "active": True, "queued": False, "completed": False, "progress": seen.fraction,
        "eta": seen.eta_s(time.monotonic()), "live_preview": picture, "id_live_preview": seen.preview,
        "textinfo": seen.stage or None,
    }  # fmt: skip


def _not_running(services: Services, handle: JobHandle | None) -> dict[str, Any]:
    place = None if handle is None else services.desk.position(handle)
    waiting = len(services.desk.waiting())
    return {
        "active": False, "queued": place is not None, "completed": handle is not None and handle.done,
        "progress": None, "eta": None, "live_preview": None, "id_live_preview": -1,
        "textinfo": f"In queue: {place}/{waiting}" if place is not None else "Waiting...",
    }  # fmt: skip
