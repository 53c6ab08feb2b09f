"""Our own view of jobs, for the queue panel and the progress bar: lists, an event stream, previews, pictures."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from modules.domain.events import (
    TERMINAL,
    Event,
    Failed,
    ImageReady,
    Noted,
    Previewed,
    Progressed,
    Stage,
    Started,
)
from modules.engine.job import JobHandle, JobInfo
from modules.web.rest.requests import StrictRoute, owner_of, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]

MAX_READERS = 64
HEARTBEAT_S = 15.0
_LOOK_S = 0.1
"""How often a stream looks for news; what came in between is sent together, superseded previews not at all."""
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}


class Readers:
    """Counts the open streams, so that a crowd of readers cannot exhaust the server."""

    def __init__(self, most: int = MAX_READERS) -> None:
        self._lock, self._free = threading.Lock(), most

    def enter(self) -> None:
        """Take a place.

        Raises:
            HTTPException: 429 when all places are taken.
        """
        with self._lock:
            if self._free <= 0:
                raise HTTPException(429, f"at most {MAX_READERS} streams may be open", {"Retry-After": "5"})
            self._free -= 1

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._free += 1


class EventStream(StreamingResponse):
    """A stream of server-sent events that gives its place back however it ends."""

    def __init__(self, lines: AsyncIterator[str], readers: Readers) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._readers = readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._readers.leave()


def jobs_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/internal/jobs", route_class=StrictRoute, tags=["jobs"])
    readers = Readers()

    async def events(request: Request, services: Needs, job_id: str) -> Response:
        """Stream what happens to a job as server-sent events, from the beginning."""
        handle = job_of(request, services, job_id)
        readers.enter()
        return EventStream(stream(services, handle), readers)

    router.add_api_route("", list_jobs, methods=["GET"])
    router.add_api_route("/history", history, methods=["GET"])
    router.add_api_route("/{job_id}/events", events, methods=["GET"])
    router.add_api_route("/{job_id}/preview", preview, methods=["GET"])
    router.add_api_route("/{job_id}/images/{number}", image, methods=["GET"])
    router.add_api_route("/{job_id}/cancel", cancel, methods=["POST"])
    router.add_api_route("/{job_id}/skip", skip, methods=["POST"])
    router.add_api_route("/{job_id}/stop", stop, methods=["POST"])
    return router


def list_jobs(request: Request, services: Needs) -> dict[str, Any]:
    """List the known jobs: ended ones, the running one, then those that wait in order."""
    user = owner_of(request).user
    return {"jobs": [line_of(info, own=info.owner.user == user) for info in services.desk.jobs()]}


def history(request: Request, services: Needs, count: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """List the newest jobs of this and earlier runs of the program: what ran, what was cut off, what never ran."""
    user = owner_of(request).user
    entries = [entry for entry in services.ledger.entries(count) if entry.owner.user == user]
    return {
        "jobs": [
            {
                "id": entry.id, "task_id": entry.task_id, "kind": entry.kind, "state": entry.state.value,
                "accepted_at": entry.accepted_at, "started_at": entry.started_at, "ended_at": entry.ended_at,
                "files": [path.name for path in entry.files], "error": entry.error,
            }
            for entry in entries
        ]
    }  # fmt: skip


def line_of(info: JobInfo, *, own: bool) -> dict[str, Any]:
    """Describe a job in a list; the ids of other people's jobs are not told."""
    return {
        "id": info.id if own else None, "task_id": info.task_id if own else None, "kind": info.kind,
        "state": info.state, "position": info.position, "source": info.owner.source, "user": info.owner.user,
        "accepted_at": info.accepted_at, "started_at": info.started_at, "ended_at": info.ended_at,
        "fraction": info.fraction, "stage": info.stage,
    }  # fmt: skip


def job_of(request: Request, services: Services, job_id: str) -> JobHandle:
    """Return a job by id or task id.

    Raises:
        HTTPException: 404 when it is not known, or belongs to another user while people have to log in.
    """
    handle = services.desk.find(job_id)
    if handle is None or handle.job.owner.user != owner_of(request).user:
        raise HTTPException(404, "Job not found")
    return handle


def preview(request: Request, services: Needs, job_id: str) -> Response:
    """Return the newest picture of the unfinished latent."""
    handle = job_of(request, services, job_id)
    handle.touch()
    newest = handle.preview
    if newest is None:
        raise HTTPException(404, "No preview")
    return picture(newest.data, newest.format)


def image(request: Request, services: Needs, job_id: str, number: int) -> Response:
    """Return a finished picture as it was encoded, its parameters text included; the grid comes first."""
    made = job_of(request, services, job_id).images()
    if not 0 <= number < len(made):
        raise HTTPException(404, "Image not found")
    return picture(made[number].data, made[number].format)


def picture(data: bytes, kind: str) -> Response:
    """Answer with the bytes of a picture."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(data, headers=headers, media_type=_TYPES.get(kind, "application/octet-stream"))


def cancel(request: Request, services: Needs, job_id: str) -> dict[str, bool]:
    """Take a waiting job out of the queue, or interrupt it when it runs."""
    return {"cancelled": services.desk.cancel(job_of(request, services, job_id).id)}


def skip(request: Request, services: Needs, job_id: str) -> dict[str, bool]:
    """End the batch that a job is in."""
    return {"skipped": services.desk.skip(job_of(request, services, job_id).id)}


def stop(request: Request, services: Needs, job_id: str) -> dict[str, bool]:
    """End a job after its current picture."""
    return {"stopped": services.desk.stop(job_of(request, services, job_id).id)}


async def stream(services: Services, handle: JobHandle) -> AsyncIterator[str]:
    """Yield the events of a job as server-sent events until it has ended."""
    at, spoke, position = 0, time.monotonic(), -1
    while True:
        handle.touch()
        found, at = handle.read(at)
        news = [line for line in (event_json(event, handle) for event in found) if line is not None]
        place = services.desk.position(handle) or 0
        if place != position and not handle.done:
            position = place
            news.append({"type": "queue", "position": place})
        for line in news:
            yield f"data: {json.dumps(line, ensure_ascii=False)}\n\n"
            spoke = time.monotonic()
        if any(isinstance(event, TERMINAL) for event in found):
            return
        if time.monotonic() - spoke > HEARTBEAT_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK_S)


def event_json(event: Event, handle: JobHandle) -> dict[str, Any] | None:
    """Describe an event for the browser; None for one that has nothing to show."""
    base, seen = f"internal/jobs/{handle.id}", handle.progress
    match event:
        case Started():
            return {"type": "started"}
        case Stage():
            return {"type": "stage", "text": event.text}
        case Progressed():
            return {
                "type": "progress", "fraction": seen.fraction, "eta_s": seen.eta_s(time.monotonic()),
                "step": event.step, "num_steps": event.num_steps, "batch": event.batch,
                "num_batches": event.num_batches, "stage": seen.stage,
            }  # fmt: skip
        case Previewed():
            return {"type": "preview", "url": f"{base}/preview?n={event.number}", "number": event.number}
        case ImageReady():
            return {"type": "image", "width": event.image.width, "height": event.image.height}
        case Noted():
            return {"type": "note", "text": event.text}
        case Failed():
            return {"type": "failed", "error": event.error, "message": event.message}
        case _ if isinstance(event, TERMINAL):
            return {"type": type(event).__name__.lower(), "images": image_links(handle)}
        case _:
            return None


def image_links(handle: JobHandle) -> list[dict[str, Any]]:
    """List where the finished pictures of a job can be fetched, with their parameters texts."""
    return [
        {
            "url": f"internal/jobs/{handle.id}/images/{number}", "infotext": one.infotext, "width": one.width,
            "height": one.height, "file": one.saved_as.name if one.saved_as else None, "grid": one.is_grid,
        }
        for number, one in enumerate(handle.images())
    ]  # fmt: skip
