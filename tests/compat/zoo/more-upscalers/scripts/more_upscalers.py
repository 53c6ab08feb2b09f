"""Adds upscalers: a class that is found, and lines that are appended."""

from PIL import Image, ImageOps

from modules import shared
from modules.upscaler import Upscaler, UpscalerData

CALLS = []


class UpscalerMirror(Upscaler):
    def __init__(self, dirname):
        self.name = "Mirror"
        self.model_name = "mirror net"
        super().__init__()
        self.scalers = [UpscalerData("Mirror x2", "mirror.pth", self, 2)]

    def do_upscale(self, img, selected_model):
        CALLS.append((img.size, selected_model))
        return ImageOps.mirror(img).resize((img.width * 2, img.height * 2), Image.Resampling.NEAREST)


class UpscalerWhole(Upscaler):
    """Does everything in its own way."""

    name = "Whole"

    def __init__(self, dirname=None):
        super().__init__()

    def upscale(self, img, scale, selected_model=None):
        CALLS.append((img.size, scale))
        return ImageOps.invert(img).resize((int(img.width * scale), int(img.height * scale)), Image.Resampling.NEAREST)


class UpscalerThatFails(Upscaler):
    def __init__(self, dirname):
        raise OSError("its weights are not there")


class Broken(Upscaler):
    name = "Broken"

    def do_upscale(self, img, selected_model):
        return None


shared.sd_upscalers.append(UpscalerData("Inverted", None, UpscalerWhole(), 4))
shared.sd_upscalers += [UpscalerData("Returns nothing", None, Broken(), 4)]
