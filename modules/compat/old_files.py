"""`/file=...`: files that page scripts ask for by their place on disk, as they did of older versions of gradio."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from modules.compat.host import Host, host
from modules.extending.page_files import SUFFIXES

KINDS = {
    **SUFFIXES, ".csv": "text/csv", ".yaml": "text/yaml", ".yml": "text/yaml", ".md": "text/markdown",
    ".svg": "image/svg+xml", ".mp4": "video/mp4", ".webm": "video/webm", ".avif": "image/avif",
}  # fmt: skip
"""What is sent from the folders of extensions, and as what."""
PICTURES = frozenset(kind for kind, what in KINDS.items() if what.startswith(("image/", "video/")))
"""What is sent from the folders of outputs."""
SECRET = re.compile(r"config|settings|secret|passw|credential|auth|(^|[^a-z])(api)?keys?([^a-z]|$)", re.IGNORECASE)
"""Names of files that are nobody's business, whatever they are."""


def router() -> APIRouter:
    """Make the route."""
    made = APIRouter(include_in_schema=False)

    @made.get("/file={path:path}")
    def file(path: str) -> FileResponse:
        found = allowed(path, host())
        if found is None:
            raise HTTPException(404, "File not found")
        return FileResponse(found, media_type=KINDS[found.suffix.lower()], headers={"Cache-Control": "no-cache"})

    return made


def allowed(path: str, bound: Host) -> Path | None:
    """Return a file that a browser may have; None for all others, whether they are there or not.

    Args:
        path: from the root of the disk, or from the data folder or that of the program.
        bound: knows the folders.
    """
    if "\0" in path or "\\" in path:
        return None
    near = (bound.layout.data / path, bound.layout.root / path)
    real = Path(os.path.realpath(next((one for one in near if one.is_file()), near[0])))
    kind = real.suffix.lower()
    theirs = any(_inside(real, folder) for folder in _open_folders(bound))
    pictures = kind in PICTURES and any(_inside(real, folder) for folder in _output_folders(bound))
    known = (theirs and kind in KINDS and not SECRET.search(real.stem)) or pictures
    return real if known and real.is_file() else None


def _inside(real: Path, folder: Path) -> bool:
    """Tell whether a file lies in a folder and in no hidden one."""
    root = Path(os.path.realpath(folder))
    return real.is_relative_to(root) and not any(part.startswith(".") for part in real.relative_to(root).parts)


def _open_folders(bound: Host) -> Iterator[Path]:
    yield from (one.folder for one in bound.extensions)
    yield bound.layout.tmp


def _output_folders(bound: Host) -> Iterator[Path]:
    yield bound.layout.outputs
    yield bound.layout.saved_images
    settings = bound.settings.snapshot().flat()
    named = (value for key, value in settings.items() if key.startswith("outdir_"))
    yield from (bound.layout.data / value for value in named if isinstance(value, str) and value)
