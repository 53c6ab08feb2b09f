"""A1111's `modules.scripts_postprocessing`."""

from modules.compat.postprocessing import PostprocessedImage, PostprocessedImageSharedInfo, ScriptPostprocessing

__all__ = ["PostprocessedImage", "PostprocessedImageSharedInfo", "ScriptPostprocessing"]
