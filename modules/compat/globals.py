"""The script with the globals of A1111's page, and the settings that it shows to page scripts."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from modules.compat.host import host

PREFIX = "/internal/a1111"
SCRIPT = "a1111.js"


def router() -> APIRouter:
    """Make the routes."""
    made = APIRouter(prefix=PREFIX, include_in_schema=False)

    @made.get(f"/{SCRIPT}")
    def script() -> FileResponse:
        return FileResponse(Path(__file__).parent / "assets" / SCRIPT, media_type="text/javascript")

    @made.get("/opts")
    def opts() -> dict[str, Any]:
        return {key: value for key, value in host().options.data.items() if _is_json(value)}

    @made.get("/style.css")
    def style() -> Any:
        from fastapi import Response

        return Response("\n".join(host().css), media_type="text/css")

    return made


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_json(one) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    return value is None or isinstance(value, bool | int | float | str)
