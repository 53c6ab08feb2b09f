"""A1111's `modules.postprocessing`."""

from modules.compat.extras_calls import run_extras, run_postprocessing

__all__ = ["run_extras", "run_postprocessing"]
