"""What restores faces, as extensions add and call it."""

from functools import partial
from typing import TYPE_CHECKING, Any

from modules.compat.host import host

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.pipeline.faces import Restore


def face_restorers() -> list[Any]:
    """Return what restores faces; extensions add theirs."""
    return host().face_restorers


def restorer(name: str) -> Any:
    """Return what restores faces under a name; None where nobody brought it."""
    return next((one for one in face_restorers() if str(one.name()).lower() == name.lower()), None)


def restored_by(name: str, np_image: Any) -> Any:
    """Restore faces with a named one; the picture itself where nobody brought it."""
    found = restorer(name)
    return np_image if found is None else found.restore(np_image)


class FaceRestoration:
    """Base of what restores faces."""

    def name(self) -> str:
        """Return what it is called."""
        return "None"

    def restore(self, np_image: Any) -> Any:
        """Return a picture with better faces."""
        return np_image


def added_restorers() -> "dict[str, Restore]":
    """Return those of extensions in the form of this program."""
    return {str(one.name()): partial(_restored, one) for one in face_restorers() if one.name() not in ("", "None")}


def _restored(restorer: Any, picture: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.asarray(restorer.restore(np.array(picture.convert("RGB")))).astype(np.uint8))


def restore_faces(np_image: Any) -> Any:
    """Restore faces with the one that is chosen in the settings, else with the first."""
    known = face_restorers()
    if not known:
        return np_image
    wanted = host().options.face_restoration_model
    return next((one for one in known if one.name() == wanted), known[0]).restore(np_image)
