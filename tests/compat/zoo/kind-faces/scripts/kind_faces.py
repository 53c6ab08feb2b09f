"""Restores faces by painting over them."""

from modules import face_restoration, shared


class Kind(face_restoration.FaceRestoration):
    def name(self):
        return "Kind faces"

    def restore(self, np_image):
        np_image = np_image.copy()
        np_image[16:48, 16:48] = 255 - np_image[16:48, 16:48]
        return np_image


shared.face_restorers.append(Kind())
