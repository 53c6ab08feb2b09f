"""The scripts with the globals of A1111's page, and what they ask for."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from modules.compat.host import host

PREFIX = "/internal/a1111"
SCRIPTS = ("a1111_page.js", "a1111_progress.js", "a1111.js")
"""In the order in which they are loaded."""
FILES = (*SCRIPTS, "style.css")
"""What the page loads before the scripts of extensions."""
MOUNTING = (
    '[data-mounting] [role=tabpanel][style*="display: none"] { display: flex !important; position: fixed; inset: 0;'
    " overflow: hidden; visibility: hidden; opacity: 0; pointer-events: none }\n"
)
"""What is made inside of tabs that are not open has a size meanwhile, and nobody sees it."""


def router() -> APIRouter:
    """Make the routes."""
    made = APIRouter(prefix=PREFIX, include_in_schema=False)
    for name in SCRIPTS:
        made.add_api_route(f"/{name}", _script(name), methods=["GET"])

    @made.get("/opts")
    def opts() -> dict[str, Any]:
        return {key: value for key, value in host().options.data.items() if _is_json(value)}

    @made.get("/tabs")
    def tabs() -> list[str]:
        return [f"tab_{one}" for one in host().tabs]

    @made.get("/style.css")
    def style() -> Response:
        return Response(MOUNTING + "\n".join(host().css), media_type="text/css")

    return made


def _script(name: str) -> Any:
    def send() -> FileResponse:
        path = Path(__file__).parent / "assets" / name
        return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    return send


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_json(one) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    return value is None or isinstance(value, bool | int | float | str)
