"""Pictures on their way to a component: as files in the page's own folder, never encoded again."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.files.atomic import make_folder, storage_fault, write
from modules.files.paths import safe_child, safe_name
from modules.imaging.open import open_header

FOLDER = "sent"
MAX_UPLOADS = 1000
"""Pictures given to one run."""
KEPT_S = 24 * 3600
"""How long given pictures are kept; a job may wait, and go on after a restart."""


def sent_file(temp: Path, data: bytes) -> str:
    """Put a picture where gradio serves it from; equal pictures share a file.

    Args:
        temp: the page's folder for uploads.
        data: the file.

    Returns:
        Its path.

    Raises:
        InvalidImage: not a picture.
        StorageFault: the disk refuses.
    """
    kind = (open_header(data).format or "png").lower()
    path = make_folder(temp / FOLDER / hashlib.sha256(data).hexdigest()) / f"picture.{kind}"
    if not path.is_file():
        write(path, data)
    return str(path)


def uploaded_folder(files: Any, temp: Path, uploads: Path) -> Path:
    """Put uploads into a folder of their own, for a run that takes a folder.

    Args:
        files: raw value of a file component.
        temp: where uploads lie; other files are not read.
        uploads: folder of such folders; old ones are removed.

    Raises:
        InvalidRequest: not a list of uploads.
        LimitExceeded: too many.
        StorageFault: the disk refuses.
    """
    if not isinstance(files, list) or not files:
        raise InvalidRequest("expected uploaded pictures", field="input")
    if len(files) > MAX_UPLOADS:
        raise LimitExceeded("input", f"{len(files)} pictures", MAX_UPLOADS)
    _remove_old(uploads)
    folder = make_folder(uploads / secrets.token_hex(8))
    for one in files:
        source, name = _upload(one, temp)
        target = safe_child(folder, name)
        if target.exists():
            target = safe_child(folder, f"{target.stem}-{secrets.token_hex(4)}{target.suffix}")
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise storage_fault(target, error) from error
    return folder


def _upload(one: Any, temp: Path) -> tuple[Path, str]:
    path = one.get("path") if isinstance(one, Mapping) else None
    real = Path(os.path.realpath(path)) if isinstance(path, str) and "\0" not in path else None
    if real is None or not real.is_relative_to(os.path.realpath(temp)):
        raise InvalidRequest("expected uploaded pictures", field="input")
    name = one.get("orig_name")
    return real, safe_name(name if isinstance(name, str) and name else real.name)


def _remove_old(uploads: Path) -> None:
    if not uploads.is_dir():
        return
    for folder in uploads.iterdir():
        if time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
