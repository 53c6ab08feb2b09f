"""The pictures of a folder."""

from pathlib import Path

from modules.domain.errors import InvalidImage, LimitExceeded
from modules.files.paths import safe_child
from modules.imaging.open import ImageLimits

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif")


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures directly inside a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def read_picture(path: Path, limits: ImageLimits) -> bytes:
    """Read the file of a picture of a folder.

    Raises:
        PathRefused: it leads out of its folder.
        LimitExceeded: it is larger than pictures may be.
        InvalidImage: it cannot be read.
    """
    safe_child(path.parent, path.name)
    try:
        if path.stat().st_size > limits.max_bytes:
            raise LimitExceeded(path.name, f"{path.stat().st_size} bytes", limits.max_bytes, "api_max_image_mb")
        return path.read_bytes()
    except OSError as error:
        raise InvalidImage(f"{path.name} cannot be read: {error.strerror}") from error
