"""What restores faces in finished pictures. The program brings nothing of the kind; extensions may."""

from collections.abc import Callable, Mapping

from PIL import Image

from modules.domain.plan import Note
from modules.domain.request import Generation
from modules.settings.snapshot import Snapshot

Restore = Callable[[Image.Image], Image.Image]
"""An RGB picture to one of the same size with better faces."""


def restorer_for(request: Generation, settings: Snapshot, known: Mapping[str, Restore]) -> tuple[str, list[Note]]:
    """Choose what restores the faces of a run.

    Returns:
        Its name, empty for nothing, and what the person should know.
    """
    if not request.post.restore_faces:
        return "", []
    wanted = settings.postprocessing.face_restoration_model
    if wanted in known:
        return wanted, []
    there = ", ".join(known) or "none"
    return "", [Note(text=f"Face restorer {wanted[:100]!r} not found, faces stay as they are; there is: {there}")]


def restored(picture: Image.Image, restore: Restore) -> Image.Image:
    """Restore the faces of a picture; its size stays."""
    made = restore(picture).convert("RGB")
    return made if made.size == picture.size else made.resize(picture.size, Image.Resampling.LANCZOS)
