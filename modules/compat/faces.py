"""What restores faces, as extensions add and call it."""

from typing import Any

from modules.compat.host import host


def face_restorers() -> list[Any]:
    """Return what restores faces; extensions add theirs."""
    return host().face_restorers


class FaceRestoration:
    """Base of what restores faces."""

    def name(self) -> str:
        """Return what it is called."""
        return "None"

    def restore(self, np_image: Any) -> Any:
        """Return a picture with better faces."""
        return np_image


def restore_faces(np_image: Any) -> Any:
    """Restore faces with the one that is chosen in the settings, else with the first."""
    known = face_restorers()
    if not known:
        return np_image
    wanted = host().options.face_restoration_model
    return next((one for one in known if one.name() == wanted), known[0]).restore(np_image)
