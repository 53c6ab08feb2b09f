"""A1111's `modules.face_restoration`."""

from modules.compat.faces import FaceRestoration, restore_faces

__all__ = ["FaceRestoration", "restore_faces"]
