"""A job as version 2 shows it, whether it is in memory or only in the ledger."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fastapi import Request
from starlette.exceptions import HTTPException

from modules.domain.events import Noted
from modules.domain.extras import ExtrasOutcome, ExtrasRequest
from modules.domain.merge import Merged
from modules.domain.request import Generation
from modules.domain.result import Produced
from modules.domain.visit import VisitRequest
from modules.engine.job import JobHandle, Payload, files_of
from modules.engine.ledger import Entry
from modules.web.rest.errors import without_folders
from modules.web.rest.requests import owner_of
from modules.web.services import Services

PREFIX = "/api/v2"
TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
"""Kinds of files that can be fetched."""
MAX_TITLE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A job: in memory, in the ledger, or in both."""

    handle: JobHandle | None
    entry: Entry | None

    @property
    def id(self) -> str:
        """Its id."""
        return self.handle.id if self.handle is not None else self.entry.id if self.entry is not None else ""


def known_job(request: Request, services: Services, job_id: str) -> Known:
    """Find a job by its id or task id, also one of an earlier run of the program.

    Raises:
        HTTPException: 404 when there is none, or it belongs to another user while people have to log in.
    """
    user, handle = owner_of(request).user, services.desk.find(job_id)
    if handle is not None:
        if handle.job.owner.user == user:
            return Known(handle=handle, entry=None)
        raise HTTPException(404, "Job not found")
    entry = services.desk.entry(job_id)
    if entry is None or entry.owner.user != user:
        raise HTTPException(404, "Job not found")
    return Known(handle=None, entry=entry)


def jobs_at(request: Request) -> str:
    """Return the path of the list of jobs, as this server is reached."""
    return f"{str(request.scope.get('root_path', '')).rstrip('/')}{PREFIX}/jobs"


def job_json(known: Known, services: Services, where: str) -> dict[str, Any]:
    """Describe a job.

    Args:
        known: the job.
        services: to look up its place in the queue.
        where: path of the list of jobs, which the addresses of its files begin with.
    """
    if known.handle is not None:
        return _of_handle(known.handle, services, f"{where}/{known.id}")
    if known.entry is None:
        raise ValueError("a job is in memory or in the ledger")
    return _of_entry(known.entry, f"{where}/{known.id}")


def _of_handle(handle: JobHandle, services: Services, base: str) -> dict[str, Any]:
    job, error = handle.job, handle.error
    return {
        "id": job.id, "task_id": job.task_id, "kind": job.kind, "title": title_of(job.payload), "state": handle.state.value,
        "place": services.desk.position(handle), "source": job.owner.source, "user": job.owner.user,
        "accepted_at": job.accepted_at, "started_at": handle.started_at, "ended_at": handle.ended_at,
        "progress": progress_json(handle),
        "error": None if error is None else {"type": type(error).__name__, "message": without_folders(str(error))},
        "notes": [event.text for _, event in handle.numbered() if isinstance(event, Noted)],
        "files": _files_of(handle, base),
    }  # fmt: skip


def _of_entry(entry: Entry, base: str) -> dict[str, Any]:
    kind, _, message = entry.error.partition(": ")
    failed = {"type": kind, "message": without_folders(message)} if message else None
    return {
        "id": entry.id, "task_id": entry.task_id, "kind": entry.kind, "title": _title(entry.payload.get("prompt")), "state": entry.state.value, "place": None,
        "source": entry.owner.source, "user": entry.owner.user, "accepted_at": entry.accepted_at,
        "started_at": entry.started_at, "ended_at": entry.ended_at, "progress": None,
        "error": failed or ({"type": "", "message": without_folders(entry.error)} if entry.error else None),
        "notes": [],
        "files": [_path_json(path, number, base) for number, path in enumerate(entry.files)],
    }  # fmt: skip


def title_of(payload: Payload) -> str:
    """Say in a few words what a job is about: how its prompt begins, or which picture it works on."""
    if isinstance(payload, ExtrasRequest):
        return _title(payload.folder or [one.name for one in payload.pictures])
    if isinstance(payload, VisitRequest):
        return payload.label[:MAX_TITLE]
    return _title(payload.prompt) if isinstance(payload, Generation) else ""


def _title(prompt: Any) -> str:
    """Read the prompt of a request, or of its JSON form: one text or a list of them."""
    first = next(iter(cast("Sequence[Any]", prompt)), "") if isinstance(prompt, list | tuple) else prompt
    return first[:MAX_TITLE] if isinstance(first, str) else ""


def _files_of(handle: JobHandle, base: str) -> list[dict[str, Any]]:
    payload = handle.job.payload
    if isinstance(payload, Generation | VisitRequest) or (isinstance(payload, ExtrasRequest) and payload.show):
        return [file_json(one, number, base) for number, one in enumerate(pictures_of(handle))]
    if not handle.done or handle.error is not None:
        return []
    is_extras = isinstance(payload, ExtrasRequest)
    made = files_of(handle.result_as(ExtrasOutcome) if is_extras else handle.result_as(Merged))
    return [_path_json(path, number, base) for number, path in enumerate(made)]


def _path_json(path: Path, number: int, base: str) -> dict[str, Any]:
    """Describe a file that a job left on the disk; only pictures can be fetched."""
    kind = path.suffix.lstrip(".").lower()
    url = f"{base}/files/{number}" if kind in TYPES else None
    return {"n": number, "url": url, "name": path.name, "format": kind}


def progress_json(handle: JobHandle) -> dict[str, Any]:
    """Tell how far a job is."""
    seen = handle.progress
    return {
        "fraction": seen.fraction, "step": seen.step, "num_steps": seen.num_steps, "batch": seen.batch,
        "num_batches": seen.num_batches, "stage": seen.stage, "eta_s": seen.eta_s(time.monotonic()),
    }  # fmt: skip


def file_json(one: Produced, number: int, base: str) -> dict[str, Any]:
    """Describe a picture that is in memory."""
    return {
        "n": number, "url": f"{base}/files/{number}", "name": name_of(one, number), "format": one.format,
        "width": one.width, "height": one.height, "grid": one.is_grid, "infotext": one.infotext,
        "saved": one.saved_as is not None, "save_error": without_folders(one.save_error) if one.save_error else None,
    }  # fmt: skip


def name_of(one: Produced, number: int) -> str:
    """Name a picture for whoever downloads it."""
    return Path(one.saved_as).name if one.saved_as is not None else f"picture-{number}.{one.format}"


def pictures_of(handle: JobHandle) -> list[Produced]:
    """Return the pictures of a job in the order in which the ledger keeps them: the grid last."""
    return sorted(handle.images(), key=lambda one: one.is_grid)
