"""A1111's `modules.generation_parameters_copypaste`: the older name of `infotext_utils`."""

from modules.compat.facade import same_module

same_module(__name__, "modules.infotext_utils")
