"""Version 2 of the API: jobs that go on without their client, and the queue that they wait in."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from modules.engine.job import JobHandle, JobState
from modules.web.rest.errors import answer
from modules.web.rest.jobs import EventStream, Readers, picture
from modules.web.rest.requests import StrictRoute, owner_of, services_of
from modules.web.rest.v2.bodies import Move, asked_of, job_model
from modules.web.rest.v2.describe import PREFIX, Known, job_json, jobs_at, known_job
from modules.web.rest.v2.docs import JOB, REFUSED, STORY, WAITING, Answers, answers
from modules.web.rest.v2.events import Numbers, Previews, Story, ended
from modules.web.rest.v2.files import file_answer
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
State = Literal["queued", "running", "finished", "failed", "interrupted", "not run"]
MAX_PAGE = 200


def jobs_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix=PREFIX, route_class=StrictRoute, tags=["v2: jobs"])
    one, waiting = answers(200, JOB, "The job."), answers(202, WAITING, "The job was queued.")
    page = answers(200, {"jobs": [JOB], "next": 41, "paused": False}, "A page of jobs; `next` is null on the last.")
    story = answers(200, STORY, "The events.", kind="text/event-stream")
    file: Answers = {200: {"description": "The picture.", "content": {"image/png": {}}}, **REFUSED}
    ended = answers(200, {"id": JOB["id"], "cancelled": False, "forgotten": True}, "What was done.")
    moved = answers(200, {"id": JOB["id"], "place": 1}, "Its new place.")
    for method, path, call, summary, told in (
        ("POST", "/jobs", _submitting(), "Queue a job", waiting),
        ("GET", "/jobs", list_jobs, "List jobs", page),
        ("GET", "/jobs/{job_id}", get_job, "Describe a job", one),
        ("DELETE", "/jobs/{job_id}", delete_job, "Cancel or forget a job", ended),
        ("GET", "/jobs/{job_id}/events", _following(), "Follow a job", story),
        ("GET", "/jobs/{job_id}/preview", preview, "Look at the unfinished picture", file),
        ("GET", "/jobs/{job_id}/files/{n}", get_file, "Download a picture", file),
        ("POST", "/jobs/{job_id}/again", again, "Queue it once more", waiting),
        ("POST", "/jobs/{job_id}/move", move, "Move it in the queue", moved),
    ):
        status = 202 if told is waiting else 200
        router.add_api_route(path, call, methods=[method], summary=summary, status_code=status, responses=told)
    for name, call in (("interrupt", interrupt), ("skip", skip), ("stop", stop)):
        router.add_api_route(f"/jobs/{{job_id}}/{name}", call, methods=["POST"])
    router.add_api_route("/queue", get_queue, methods=["GET"], summary="Describe the queue", tags=["v2: queue"])
    router.add_api_route("/queue/pause", pause, methods=["POST"], tags=["v2: queue"])
    router.add_api_route("/queue/resume", resume, methods=["POST"], tags=["v2: queue"])
    return router


def _submitting() -> Any:
    def submit(request: Request, services: Needs, body: Annotated[Any, Body()]) -> Response:
        """Queue a job and return at once. It goes on whatever happens to its client.

        The body has `kind` and, beside it, the fields of `/sdapi/v1/txt2img`, `/v1/img2img` or those of the checkpoint
        merger, with two differences: unknown fields are refused, and `save_images` is on. Pictures are fetched as files.
        """
        owner = owner_of(request)
        asked = asked_of(body, services, owner)
        handle = services.desk.accept(asked.payload, owner, asked.task_id, kind=asked.kind)
        return _accepted(request, services, handle, warnings=list(asked.warnings))

    submit.__annotations__["body"] = job_model()
    return submit


def _accepted(request: Request, services: Services, handle: JobHandle, **more: Any) -> Response:
    where = jobs_at(request)
    described = job_json(Known(handle=handle, entry=None), services, where)
    return answer({**described, **more}, 202, {"Location": f"{where}/{handle.id}"})


def list_jobs(
    request: Request,
    services: Needs,
    state: Annotated[list[State], Query(description="Only jobs in one of these states.")] = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    before: Annotated[int | None, Query(ge=0, le=2**62, description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """List your jobs, newest first, also those of earlier runs of the program."""
    states = [JobState(name) for name in state]
    entries = services.desk.entries(limit + 1, user=owner_of(request).user, before=before, states=states)
    page, where = entries[:limit], jobs_at(request)
    known = [Known(handle=services.desk.find(entry.id), entry=entry) for entry in page]
    return {
        "jobs": [job_json(one, services, where) for one in known],
        "next": page[-1].number if len(entries) > limit else None,
        "paused": services.desk.paused,
    }


def get_job(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """Tell how far a job is, where its pictures are, or why it failed. The id may be its `force_task_id`."""
    return job_json(known_job(request, services, job_id), services, jobs_at(request))


def delete_job(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """Drop a waiting job, interrupt a running one, or take an ended one out of the lists; files stay on the disk."""
    known = known_job(request, services, job_id)
    cancelled = services.desk.cancel(known.id)
    return {"id": known.id, "cancelled": cancelled, "forgotten": not cancelled and services.desk.forget(known.id)}


def again(request: Request, services: Needs, job_id: str) -> Response:
    """Queue the same request once more: a copy of a waiting or running job, or an ended one, or one that never ran.

    A random seed is drawn anew.
    """
    known = known_job(request, services, job_id)
    return _accepted(request, services, services.desk.again(known.id, owner_of(request)))


def move(request: Request, services: Needs, job_id: str, body: Move) -> dict[str, Any]:
    """Move a waiting job to another place; it never overtakes the jobs of other people."""
    place = services.desk.move(known_job(request, services, job_id).id, body.place)
    if place is None:
        raise HTTPException(409, "The job does not wait")
    return {"id": job_id, "place": place}


def interrupt(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """End a running job at its next step and keep the picture so far."""
    return _ended_early(request, services, job_id, services.desk.interrupt)


def skip(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """End the batch that a job is in and go on with the next."""
    return _ended_early(request, services, job_id, services.desk.skip)


def stop(request: Request, services: Needs, job_id: str) -> dict[str, Any]:
    """End a job after its current picture."""
    return _ended_early(request, services, job_id, services.desk.stop)


def _ended_early(request: Request, services: Services, job_id: str, end: Any) -> dict[str, Any]:
    known = known_job(request, services, job_id)
    if not end(known.id):
        raise HTTPException(409, "The job does not run")
    return {"id": known.id}


def _following() -> Any:
    numbers, readers = Numbers.fresh(), Readers()

    async def follow(
        request: Request,
        services: Needs,
        job_id: str,
        previews: Annotated[Previews, Query(description="Addresses of previews, the pictures themselves, or none.")] = (
            "url"
        ),
        last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    ) -> Response:
        """Follow a job as server-sent events: `queued`, `started`, `stage`, `progress`, `preview`, `image`, `note`,
        and in the end `finished`, `failed` or `interrupted` with the description of the job.

        Send the last id that you saw as `Last-Event-ID` to go on from there, as browsers do by themselves; the answer
        is 204 when nothing more will come. A comment is sent every 15 seconds of silence.
        """
        known, where = await run_in_threadpool(known_job, request, services, job_id), jobs_at(request)
        handle = known.handle
        if handle is None:
            told = job_json(known, services, where)
            name = told["state"] if told["state"] in ("finished", "interrupted") else "failed"
            readers.enter()
            return EventStream(ended(name, told), readers)
        story = Story(
            handle=handle, place=lambda: services.desk.position(handle),
            describe=lambda: job_json(Known(handle=handle, entry=None), services, where),
            base=f"{where}/{handle.id}", numbers=numbers, previews=previews,
        )  # fmt: skip
        start = numbers.after(last_event_id)
        if start and story.is_over_after(start):
            return Response(status_code=204)
        readers.enter()
        return EventStream(story.lines(start), readers)

    return follow


def preview(request: Request, services: Needs, job_id: str) -> Response:
    """Return the newest picture of the unfinished latent."""
    handle = known_job(request, services, job_id).handle
    if handle is not None:
        handle.touch()
    newest = handle.preview if handle is not None else None
    if newest is None:
        raise HTTPException(404, "No preview")
    return picture(newest.data, newest.format)


def get_file(request: Request, services: Needs, job_id: str, n: int) -> Response:
    """Return a picture of a job as it was encoded, its parameters text included; a grid comes last."""
    return file_answer(known_job(request, services, job_id), n)


def get_queue(services: Needs) -> dict[str, Any]:
    """Tell how many jobs wait and run, of all people, and what the limits are."""
    system = services.settings.snapshot().system
    return {
        "paused": services.desk.paused, "waiting": len(services.desk.waiting()),
        "running": len(services.engine.active()), "max_jobs": system.queue_max_jobs,
        "max_jobs_per_client": system.queue_max_jobs_per_client,
    }  # fmt: skip


def pause(services: Needs) -> dict[str, Any]:
    """Start no further job; the one that runs goes on."""
    services.desk.pause()
    return get_queue(services)


def resume(services: Needs) -> dict[str, Any]:
    """Start jobs again."""
    services.desk.resume()
    return get_queue(services)
