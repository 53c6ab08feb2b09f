"""Extensions over HTTP: A1111's list, and what the tab Extensions does."""

from dataclasses import asdict
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Depends
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from modules.domain.errors import InvalidRequest
from modules.extending.manage import REFUSED, Line, Manager
from modules.extending.page_files import served
from modules.extending.states import ConfigState
from modules.extending.work import WorkState
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
Values = Annotated[dict[str, Any], Body()]
PREFIX = "/internal/extensions"


async def manager_of(services: Needs) -> Manager:
    """Return what manages extensions.

    Raises:
        HTTPException: 404 where there is none.
    """
    if services.extensions is None:
        raise HTTPException(404, "Not Found")
    return services.extensions


Extensions = Annotated[Manager, Depends(manager_of)]


def extensions_router(*, api: bool) -> APIRouter:
    """Make the routes of this file; those of A1111's API where it is offered."""
    router = APIRouter(route_class=StrictRoute)
    if api:
        router.add_api_route("/sdapi/v1/extensions", list_extensions, methods=["GET"], tags=["sdapi"])
    for path, call in (("", show), ("/work", show_work), ("/states", show_states)):
        router.add_api_route(PREFIX + path, call, methods=["GET"], include_in_schema=False)
    for path, call in (
        ("/apply", apply), ("/check", check), ("/install", install), ("/update", update), ("/branches", branches),
        ("/switch", switch), ("/index", index), ("/states", save_state), ("/states/restore", restore), ("/restart", restart),
    ):  # fmt: skip
        router.add_api_route(PREFIX + path, call, methods=["POST"], include_in_schema=False)
    router.add_api_route(PREFIX + "/files/{name}/{path:path}", file, methods=["GET"], include_in_schema=False)
    return router


def list_extensions(services: Needs) -> list[dict[str, Any]]:
    """List the extensions that come from a git repository, as A1111 does."""
    return told(services.extensions)


def told(manager: Manager | None) -> list[dict[str, Any]]:
    """Describe the extensions that come from a git repository."""
    return [
        {
            "name": one.name, "remote": one.remote, "branch": one.branch, "commit_hash": one.commit,
            "version": one.version, "commit_date": manager.clones.date(one.folder), "enabled": one.enabled,
        }
        for one in (manager.found() if manager else ())
        if manager and one.remote and one.commit
    ]  # fmt: skip


def show(manager: Extensions) -> dict[str, Any]:
    """Describe all extensions and what may be done with them."""
    system = manager.settings.snapshot().system
    return {
        "extensions": [_line(line, manager) for line in manager.lines()],
        "mode": system.disable_all_extensions,
        "note": manager.note,
        "refused": "" if manager.allowed else f"{REFUSED[:1].upper()}{REFUSED[1:]}.",
        "index": manager.index_address,
    }


def _line(line: Line, manager: Manager) -> dict[str, Any]:
    one = line.extension
    return {
        "name": one.name, "builtin": one.is_builtin, "enabled": one.enabled, "running": line.running,
        "reason": one.reason, "faults": list(line.faults), "remote": one.remote, "branch": one.branch,
        "version": one.version, "commit": one.commit, "status": line.status,
        "date": manager.clones.date(one.folder) if one.commit else None,
    }  # fmt: skip


def apply(manager: Extensions, body: Values) -> dict[str, Any]:
    """Choose which run, update some, and start the program again."""
    return _work(manager.apply(_texts(body, "disabled"), _text(body, "mode") or "none", _texts(body, "update")))


def check(manager: Extensions) -> dict[str, Any]:
    """Look for updates."""
    return _work(manager.check())


def install(manager: Extensions, body: Values) -> dict[str, Any]:
    """Install an extension from an address."""
    return _work(manager.install(_text(body, "url"), _text(body, "branch"), _text(body, "folder")))


def update(manager: Extensions, body: Values) -> dict[str, Any]:
    """Update one extension."""
    return _work(manager.update(_text(body, "name")))


def branches(manager: Extensions, body: Values) -> dict[str, Any]:
    """List the branches of an extension."""
    return {"branches": manager.branches(_text(body, "name"))}


def switch(manager: Extensions, body: Values) -> dict[str, Any]:
    """Switch an extension to another branch."""
    return _work(manager.switch(_text(body, "name"), _text(body, "branch")))


def index(manager: Extensions, body: Values) -> dict[str, Any]:
    """Fetch the list of extensions."""
    found = manager.offers(_text(body, "url"))
    installed = {one.remote.lower().rstrip("/").removesuffix(".git") for one in manager.found() if one.remote}
    offers = [
        {**asdict(one), "installed": one.url.lower().rstrip("/").removesuffix(".git") in installed}
        for one in found.offers
    ]
    return {"offers": offers, "tags": dict(found.tags)}


def show_work(manager: Extensions) -> dict[str, Any]:
    """Tell how far the work is."""
    return _work(manager.work())


def show_states(manager: Extensions) -> dict[str, Any]:
    """List the saved states."""
    return {"states": [_state(state) for state in manager.saved()]}


def save_state(manager: Extensions, body: Values) -> dict[str, Any]:
    """Save the state of this moment."""
    return {"file": manager.save(_text(body, "name")), **show_states(manager)}


def restore(manager: Extensions, body: Values) -> dict[str, Any]:
    """Bring a saved state back."""
    return _work(manager.restore(_text(body, "file"), _text(body, "what") or "extensions"))


def restart(manager: Extensions) -> dict[str, Any]:
    """Start the program again."""
    manager.start_again()
    return {}


def file(manager: Extensions, name: str, path: str) -> Response:
    """Return a script, a style sheet or another file that an extension brings for the page."""
    found, kind = served(manager.loaded, name, path)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(found, media_type=kind, headers=headers)


def _state(state: ConfigState) -> dict[str, Any]:
    return {
        "file": state.file, "name": state.name, "created": state.created_at, "program": state.program_commit,
        "extensions": [
            {"name": one.name, "enabled": one.enabled, "commit": one.commit[:8], "branch": one.branch, "remote": one.remote}
            for one in state.extensions
        ],
    }  # fmt: skip


def _work(state: WorkState) -> dict[str, Any]:
    return asdict(state)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest("expected text", field=name)
    return value


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidRequest("expected a list of texts", field=name)
    return cast("list[str]", value)
