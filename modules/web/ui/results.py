"""What an ended job left, in the form that the page shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from markupsafe import Markup

from modules.domain.errors import InvalidRequest
from modules.domain.events import Noted
from modules.domain.extras import ExtrasOutcome, ExtrasRequest
from modules.domain.result import FileReport, Outcome, Produced
from modules.domain.visit import VisitRequest
from modules.engine.job import JobHandle, JobState
from modules.settings.snapshot import Snapshot
from modules.web.ui import html


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The pictures in a gallery."""

    addresses: tuple[str, ...] = ()
    infotexts: tuple[str, ...] = ()
    """Parameters text of each picture."""
    job: str = ""
    """Id of the job that made them."""
    numbers: tuple[int, ...] = ()
    """Place of each among the job's pictures."""
    log: str = ""
    """HTML: how it ended and how long it took."""


def show(handle: JobHandle, settings: Snapshot, base: str) -> Shown:
    """Describe the pictures of a job that has ended.

    Args:
        handle: the job.
        settings: whether grids, or anything at all, are wanted in galleries.
        base: address of the page, to which the addresses of pictures are relative.

    Raises:
        InvalidRequest: `base` is not a web address.
    """
    root = page_root(base)
    made = [
        (number, f"{root}internal/ui/pictures/{handle.id}/{number}/{quote(file_name(one, number))}", one.infotext)
        for number, one in enumerate(handle.images())
        if settings.ui.return_grid or one is not _overview(handle)
    ]
    if settings.ui.do_not_show_images:
        made = []
    return Shown(
        addresses=tuple(address for _, address, _ in made), infotexts=tuple(text for *_, text in made),
        numbers=tuple(number for number, *_ in made), job=handle.id, log=log_of(handle),
    )  # fmt: skip


def _overview(handle: JobHandle) -> Produced | None:
    """Return the grid that was put before the pictures of a run; the tables of scripts are what was asked for."""
    outcome = handle.result() if handle.state in (JobState.FINISHED, JobState.INTERRUPTED) else None
    return outcome.grid if isinstance(outcome, Outcome) else None


def file_name(picture: Produced, number: int) -> str:
    """Name a picture for whoever downloads it: as its file, or else by its place in the result."""
    if picture.saved_as is not None:
        return picture.saved_as.name
    return f"{'grid' if picture.is_grid else f'picture-{number}'}.{picture.format}"


def page_root(address: str) -> str:
    """Return the folder of a page's address, with a slash at its end.

    Raises:
        InvalidRequest: not a web address.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidRequest("expected the address of the page", field="base")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}/"


def log_of(handle: JobHandle) -> Markup:
    """Say how a job ended: its error, or the time it took and what should be known about it."""
    if handle.state in (JobState.FAILED, JobState.NOT_RUN):
        error = handle.error
        return error_line(type(error).__name__, str(error)) if error is not None else Markup("")
    lines = [html.element("p", time_taken((handle.ended_at or 0) - (handle.started_at or 0)), class_="performance")]
    if handle.state is JobState.INTERRUPTED:
        lines.insert(0, html.element("p", "Interrupted; what was finished until then is shown.", class_="note"))
    if handle.state in (JobState.FINISHED, JobState.INTERRUPTED):
        lines += [html.element("p", note, class_="note") for note in notes_of(handle)]
    return Markup("").join(lines)


def notes_of(handle: JobHandle) -> list[str]:
    """Return what a person should know about a result, each thing once."""
    told = [event.text for event in handle.read()[0] if isinstance(event, Noted)]
    if isinstance(handle.job.payload, ExtrasRequest):
        made = handle.result_as(ExtrasOutcome)
        notes = dict.fromkeys([*_files_told(made.files if len(made.files) > 1 else ()), *told])
        fault = made.save_error
    elif isinstance(handle.job.payload, VisitRequest):
        notes, fault = dict.fromkeys(told), None
    else:
        outcome = handle.result()
        own = [note.text for note in (*outcome.plan.notes, *outcome.notes)]
        notes, fault = dict.fromkeys([*_files_told(outcome.files), *own, *told]), outcome.save_error
    if fault:
        notes[f"The pictures could not be saved: {fault}"] = None
    return list(notes)


def _files_told(files: Sequence[FileReport]) -> list[str]:
    """Say how many pictures of a folder were made, and what became of the others."""
    counts = Counter(report.state for report in files)
    return ["Folder: " + ", ".join(f"{count} {state}" for state, count in counts.items())] if counts else []


def error_line(kind: str, message: str) -> Markup:
    """Show an error."""
    return html.element("div", html.element("strong", kind), ": ", message, class_="error", role="alert")


def time_taken(seconds: float) -> str:
    """Write a duration in A1111's words."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    return "Time taken: " + (f"{int(minutes)} min. " if minutes else "") + f"{rest:.1f} sec."


def request_of(text: Any) -> Mapping[str, str]:
    """Read what the page asks to see: the id of a job and the page's own address.

    Raises:
        InvalidRequest: not what the page sends.
    """
    from modules.web.rest.strict_json import loads

    found = loads(text.encode()) if isinstance(text, str) else None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("job", "base")):
        raise InvalidRequest("expected the id of a job and the address of the page")
    return {"job": found["job"], "base": found["base"]}
