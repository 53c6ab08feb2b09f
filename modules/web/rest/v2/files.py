"""The pictures of a job as files: from memory while it is remembered, else from the disk."""

from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from modules.web.rest.v2.describe import TYPES, Known, name_of, pictures_of

_GONE = "The file is no longer there"


def file_answer(known: Known, number: int) -> Response:
    """Answer with one file of a job.

    Raises:
        HTTPException: 404 when the job has no such file, or it was moved away.
    """
    if known.handle is not None:
        made = pictures_of(known.handle)
        if not 0 <= number < len(made):
            raise HTTPException(404, "File not found")
        return Response(made[number].data, headers=_headers(name_of(made[number], number), made[number].format))
    files = known.entry.files if known.entry is not None else ()
    if not 0 <= number < len(files):
        raise HTTPException(404, "File not found")
    return _from_disk(files[number])


def _from_disk(path: Path) -> Response:
    kind = path.suffix.lstrip(".").lower()
    # A link could have been put there since, and point to anything.
    if kind not in TYPES or path.is_symlink() or not path.is_file():
        raise HTTPException(404, _GONE)
    return FileResponse(path, headers=_headers(path.name, kind))


def _headers(name: str, kind: str) -> dict[str, str]:
    return {
        "Content-Type": TYPES.get(kind, "application/octet-stream"),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=86400, immutable",
    }
