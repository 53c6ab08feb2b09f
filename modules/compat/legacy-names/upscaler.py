"""A1111's `modules.upscaler`."""

from modules.compat.pictures import LANCZOS, NEAREST
from modules.compat.upscalers import Upscaler, UpscalerData, UpscalerLanczos, UpscalerNearest, UpscalerNone

__all__ = [
    "LANCZOS", "NEAREST", "Upscaler", "UpscalerData", "UpscalerLanczos", "UpscalerNearest", "UpscalerNone",
]  # fmt: skip
