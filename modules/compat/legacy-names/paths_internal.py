"""A1111's `modules.paths_internal`."""

from modules.compat.facade import same_module

same_module(__name__, "modules.paths")
