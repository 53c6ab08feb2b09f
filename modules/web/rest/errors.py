"""From an error to an answer: one table of status codes, and a renderer that cannot fail itself."""

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from traceback import format_exception
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.responses import Response

from modules.domain.errors import (
    ForbiddenSetting,
    InvalidImage,
    InvalidRequest,
    LimitExceeded,
    ModelError,
    NumericalFault,
    OutOfMemory,
    PathRefused,
    QueueFull,
    ShuttingDown,
    StorageFault,
    UnknownName,
    UnsupportedFeature,
    WebuiError,
)
from modules.engine.job import Cancelled
from modules.web.rest.strict_json import BadJson

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
_CUT = 200

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnsupportedFeature, 501),
    (ForbiddenSetting, 403),
    (LimitExceeded, 422),
    (UnknownName, 422),
    (InvalidImage, 422),
    (InvalidRequest, 422),
    (BadJson, 422),
    (ModelError, 422),
    (PathRefused, 403),
    (QueueFull, 429),
    (ShuttingDown, 503),
    (Cancelled, 409),
    (OutOfMemory, 500),
    (NumericalFault, 500),
    (StorageFault, 507),
    (WebuiError, 500),
)
"""First match wins."""

A1111_NAMES: Mapping[type[Exception], str] = {OutOfMemory: "OutOfMemoryError", UnknownName: "HTTPException"}
"""Names that clients look for in `error`, where ours differ."""

A1111_TEXTS: Mapping[str, Callable[[str], str]] = {
    "Upscaler": lambda name: f"could not find upscaler named {name}",
    "Checkpoint": lambda name: f"model {name!r} not found",
    "Setting": repr,
}
"""What A1111 says in `errors` about a name that is not there, by what it names."""

_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\":]+[\\/])+")


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def render(error: Exception) -> Response:
    """Answer with an error in A1111's shape, or in pydantic's when a single field is wrong. Never raises."""
    if isinstance(error, HTTPException):
        return _http(error)
    status = status_of(error)
    if not isinstance(error, WebuiError):
        return _fault(error)
    if isinstance(error, BadJson):
        return field_errors([{"loc": ("body",), "msg": str(error), "type": "json_invalid"}])
    if type(error) is InvalidRequest and error.field:
        return field_errors([{"loc": ("body", error.field), "msg": str(error), "type": "value_error"}])
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    name = next((shown for kind, shown in A1111_NAMES.items() if isinstance(error, kind)), type(error).__name__)
    body = shape(name, detail=_detail(error), errors=_a1111_text(error))
    if status >= 500 and status != 501:
        body["errors"] = without_folders(str(error))
        body["detail"] = body["errors"]
    return answer(body, status, headers)


def _detail(error: WebuiError) -> str:
    """Return the sentence of an error; that about a picture begins as clients of A1111 know it."""
    if isinstance(error, InvalidImage):
        return str(error).removeprefix(f"{error.field}: ")
    return str(error)


def _a1111_text(error: WebuiError) -> str:
    if isinstance(error, UnknownName) and error.kind in A1111_TEXTS:
        return A1111_TEXTS[error.kind](error.name[:200])
    return str(error) if isinstance(error, InvalidImage) else ""


def field_errors(errors: Sequence[Mapping[str, Any]], status: int = 422) -> Response:
    """Answer with pydantic's list of wrong fields; offending values are cut and made printable."""
    lines = [
        {
            "loc": [part if isinstance(part, int) else clean(part) for part in error.get("loc", ())],
            "msg": clean(error.get("msg", "")),
            "type": clean(error.get("type", "value_error")),
            **({"input": clean(error["input"])} if "input" in error else {}),
        }
        for error in errors[:100]
    ]
    return answer({"detail": lines}, status)


def shape(error: str, *, detail: str = "", errors: str = "") -> dict[str, Any]:
    """Return A1111's error body."""
    return {"error": error, "detail": detail, "body": "", "errors": errors}


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Encode a body of plain JSON types; a text that is not valid Unicode is repaired."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    raw = text.encode("utf-8", "replace")
    return Response(raw, status, dict(headers or {}), "application/json")


def clean(value: object) -> str:
    """Make a short printable text of anything that came from outside."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _CUT:
        text = text[:_CUT] + "..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def without_folders(text: str) -> str:
    """Cut folders out of a message, so that it does not describe this machine to others."""
    return _FOLDERS.sub("", text[:1000])


def _http(error: HTTPException) -> Response:
    detail = cast("object", error.detail)
    headers = dict(error.headers or {})
    if error.status_code in (404, 405) and detail in ("Not Found", "Method Not Allowed"):
        return answer({"detail": detail}, error.status_code, headers)
    return answer(shape("HTTPException", detail=clean(detail)), error.status_code, headers)


def _fault(error: Exception) -> Response:
    """Answer to an error nobody foresaw; the traceback goes to the log under the id that the client sees."""
    number = secrets.token_hex(4)
    trace = "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode("utf-8")
    logger.error("error %s\n%s", number, trace)
    message = clean(without_folders(str(error)))
    return answer({**shape(type(error).__name__, errors=message), "id": number}, 500)
