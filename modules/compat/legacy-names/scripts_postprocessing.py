"""A1111's `modules.scripts_postprocessing`."""

from modules.compat.postprocessing import PostprocessedImage, PostprocessedImageSharedInfo, ScriptPostprocessing
from modules.compat.postprocessing_runner import ScriptPostprocessingRunner

__all__ = [
    "PostprocessedImage", "PostprocessedImageSharedInfo", "ScriptPostprocessing", "ScriptPostprocessingRunner",
]  # fmt: skip
