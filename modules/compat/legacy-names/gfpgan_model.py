"""A1111's `modules.gfpgan_model`."""

from modules.compat.facade import compute
from modules.compat.faces import restored_by, restorer

__all__ = ["gfpgan_fix_faces"]


def gfpgan_fix_faces(np_image: object) -> object:
    """Restore faces with GFPGAN; the picture itself where that is not there."""
    return restored_by("GFPGAN", np_image)


compute(__name__, {"gfpgan_face_restorer": lambda: restorer("GFPGAN")})
