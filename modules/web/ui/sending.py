"""Pictures on their way to a component: as files in the page's own folder, never encoded again."""

import hashlib
from pathlib import Path

from modules.files.atomic import make_folder, write
from modules.imaging.open import open_header

FOLDER = "sent"


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
