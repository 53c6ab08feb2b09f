"""What the page's queue panel is made of; it is there without `--api`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modules.web.rest.jobs import line_of
from modules.web.rest.requests import StrictRoute, owner_of, services_of
from modules.web.rest.v2 import jobs
from modules.web.rest.v2.bodies import Move
from modules.web.rest.v2.describe import Known, job_json, known_job
from modules.web.rest.v2.files import file_answer
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
PREFIX = "/internal/queue"
WHERE = PREFIX.lstrip("/")
"""What addresses begin with: relative to the page, so that a path before it does no harm."""


def panel_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix=PREFIX, route_class=StrictRoute, include_in_schema=False)
    router.add_api_route("", panel, methods=["GET"])
    router.add_api_route("/pause", jobs.pause, methods=["POST"])
    router.add_api_route("/resume", jobs.resume, methods=["POST"])
    router.add_api_route("/{job_id}/move", move, methods=["POST"])
    router.add_api_route("/{job_id}/again", again, methods=["POST"])
    router.add_api_route("/{job_id}/forget", forget, methods=["POST"])
    router.add_api_route("/{job_id}/files/{n}", get_file, methods=["GET"])
    return router


def panel(request: Request, services: Needs, earlier: Annotated[int, Query(ge=0, le=200)] = 50) -> dict[str, Any]:
    """List the jobs in memory, and those that only the ledger knows: what ran, was cut off or never ran."""
    desk, user = services.desk, owner_of(request).user
    lines: list[dict[str, Any]] = []
    for info in desk.jobs():
        handle = desk.find(info.id) if info.owner.user == user else None
        own = None if handle is None else job_json(Known(handle=handle, entry=None), services, WHERE)
        lines.append(line_of(info, own=handle is not None) | (own or {}))
    known = {line["id"] for line in lines}
    entries = [entry for entry in desk.entries(earlier + len(lines), user=user) if entry.id not in known]
    rest = [job_json(Known(handle=None, entry=entry), services, WHERE) for entry in entries[:earlier]]
    return {"jobs": lines, "earlier": rest, "paused": desk.paused}


def move(request: Request, services: Needs, job_id: str, body: Move) -> dict[str, Any]:
    """Move a waiting job to another place."""
    return jobs.move(request, services, job_id, body)


def again(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """Queue the request of a job once more, as one of the page."""
    known = known_job(request, services, job_id)
    handle = services.desk.again(known.id, owner_of(request, "ui"))
    return {"id": handle.id, "kind": handle.job.kind}


def forget(request: Request, services: Needs, job_id: str) -> dict[str, bool]:
    """Take an ended job out of the lists."""
    return {"forgotten": services.desk.forget(known_job(request, services, job_id).id)}


def get_file(request: Request, services: Needs, job_id: str, n: int) -> Response:
    """Return a picture of a job."""
    return file_answer(known_job(request, services, job_id), n)
